"""Columns of any name go all the way, and the served version keeps those that only it reads.

One pipeline root is shared by all tests of this file, in the order they stand.
"""

import base64
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import yaml
from click.testing import CliRunner

from taskroute.pipeline.cli.main import cli
from taskroute.pipeline.server.model_server import LoadedModel, _answer_json
from taskroute.pipeline.server.served_model import find_model
from taskroute.schemas.serving import ModelInfo

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NUM_ROWS = 3_000
SIZE = "Größe (cm)"
FEATURES = [
    {"name": "user", "column": "user.id", "kind": "categorical", "hash_buckets": 50},
    {"name": "user_dash", "column": "user-id", "kind": "categorical", "vocabulary": {}},
    {"name": "user_plain", "column": "user_id", "kind": "categorical", "vocabulary": {}},
    {"name": "size", "column": SIZE, "kind": "dense"},
    {"name": "class", "kind": "categorical", "vocabulary": {}},
    {"name": "self", "kind": "bucket", "boundaries": [1, 2]},
    {"name": "tags", "column": 'タグ/"q"', "kind": "multivalent", "vocabulary": {}},
    {"name": "city", "column": "place.city", "kind": "categorical", "vocabulary": {}},
    {"name": "empty", "kind": "dense", "transform": "quantile"},
]
CONFIG = {
    "name": "odd",
    "source": {
        "path": "log.parquet",
        "format": "parquet",
        "split": {"by": "hash", "key": "user.id", "validation": 0.2, "test": 0.3},
    },
    "tasks": [{"name": "click", "label": {"column": "geklickt?"}}],
    "trunk": {"kind": "shared_bottom", "units": [16]},
    "training": {"batch_size": 128, "epochs": 3},
    "evaluation": {
        "gates": [{"task": "click", "metric": "auc", "may_lose": 0.0}],
        "slices": ["タグ und mehr"],
    },
    "serving": {"batch_sizes": [1, 8]},
}


def make_log():
    random = np.random.default_rng(3)
    size = random.normal(170, 10, NUM_ROWS)
    clicks = random.random(NUM_ROWS) < 1 / (1 + np.exp(-(size - 170) / 3))
    users = random.integers(0, 300, NUM_ROWS)
    return pa.table(
        {
            "user.id": users,
            "user-id": users % 7,
            "user_id": users % 5,
            SIZE: size,
            "class": users % 3,
            "self": users % 4,
            'タグ/"q"': [[f"t{user % 3}", "ü"] for user in users.tolist()],
            "place": [{"city": f"c{user % 4}"} if user % 2 else None for user in users.tolist()],
            "empty": pa.nulls(NUM_ROWS),
            "タグ und mehr": users % 2,
            "geklickt?": clicks.astype(int),
        }
    )


class World:
    """A log, and a pipeline root."""

    def __init__(self, folder):
        self.folder, self.root = folder, folder / "root"
        self.log = make_log()
        pq.write_table(self.log, folder / "log.parquet")

    def run(self, features):
        path = self.folder / "odd.yaml"
        slices = {
            "name": "half",
            "column": "タグ und mehr",
            "kind": "categorical",
            "vocabulary": {},
        }
        path.write_text(yaml.safe_dump({**CONFIG, "features": [*features, slices]}))
        return CliRunner().invoke(cli, ["run", str(path), "--root", str(self.root)])

    @property
    def record(self):
        return json.loads((self.root / "last_run.json").read_text())

    @property
    def serving(self):
        return self.root / "serving" / "odd"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


def values_of(row, column):
    """Value of a column in a request."""
    if column.name == "place.city":
        return (row["place"] or {"city": ""})["city"]
    value = row[column.name]
    if column.kind == "number":
        return float("nan") if value is None else float(value)
    return value if isinstance(value, list) else str(value)


def test_columns_of_any_name_are_served(world):
    ended = world.run(FEATURES)
    assert ended.exit_code == 0, ended.output
    told = {finding["subject"] for finding in world.record["findings"]}
    assert "empty" in told
    model = find_model(world.serving)
    columns = ModelInfo.read(model.folder).columns
    assert {column.name: column.input for column in columns}["user_id"] == "user_id"
    rows = world.log.slice(0, 3).to_pylist()
    served = LoadedModel(model)
    instances = [{column.input: values_of(row, column) for column in columns} for row in rows]
    by_row = _answer_json(
        served,
        json.dumps({"signature_name": "raw_features", "instances": instances}).encode(),
    )
    examples = []
    for row in rows:
        example = tf.train.Example()
        for column in columns:
            value = values_of(row, column)
            feature = example.features.feature[column.name]
            if column.kind == "number":
                feature.float_list.value.extend([] if np.isnan(value) else [value])
            else:
                texts = value if isinstance(value, list) else [value] if value else []
                feature.bytes_list.value.extend(text.encode() for text in texts)
        content = base64.b64encode(example.SerializeToString()).decode()
        examples.append({"b64": content})
    by_example = _answer_json(served, json.dumps({"instances": examples}).encode())
    np.testing.assert_allclose(by_row["predictions"], by_example["predictions"], rtol=1e-5)
    assert len(set(by_row["predictions"])) == 3


def test_a_feature_taken_out_stays_for_the_served_version(world):
    first = world.record["metrics"]["click"]["values"]["auc"]
    assert first > 0.85
    ended = world.run([feature for feature in FEATURES if feature["name"] != "size"])
    assert ended.exit_code == 4, ended.output
    (gate,) = world.record["verdict"]["gates"]
    assert gate["baseline"] == pytest.approx(first, abs=1e-9)
    assert gate["value"] < first - 0.2
    assert "scored without" not in world.record["verdict"]["summary"]


def test_a_column_gone_from_the_log_is_told_in_the_verdict(world):
    pq.write_table(world.log.drop_columns([SIZE]), world.folder / "log.parquet")
    ended = world.run([feature for feature in FEATURES if feature["name"] != "size"])
    assert ended.exit_code in (0, 4), ended.output
    summary = world.record["verdict"]["summary"]
    assert f"the baseline was scored without '{SIZE}', which the log lacks" in summary
    assert SIZE in {finding["subject"] for finding in world.record["findings"]}
