"""One row has one score: in the trainer and in a process that has none of our code."""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
import tf_keras as keras
from tensorflow_transform.tf_metadata import dataset_metadata

from taskroute.models.dataset import feature_spec
from taskroute.models.export import export
from taskroute.models.preprocessing import preprocessing_fn
from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.trainer import num_ids
from taskroute.schemas.log_schema import make_schema
from taskroute.schemas.recommender import DataConfig, ModelConfig

CONFIG = ModelConfig.model_validate(
    {
        "features": [
            {"name": "user", "kind": "categorical", "hash_buckets": 20, "embedding_dim": 4},
            {"name": "item", "kind": "categorical", "vocabulary": {"min_count": 2}},
            {"name": "tags", "kind": "multivalent", "vocabulary": {"oov_buckets": 3}},
            {"name": "hour", "kind": "bucket", "boundaries": [6, 12]},
            {"name": "price_band", "column": "price", "kind": "bucket", "num_quantiles": 3},
            {"name": "age", "kind": "dense"},
            {"name": "price", "kind": "dense", "transform": "log1p"},
            {"name": "rank", "kind": "dense", "transform": "quantile"},
            {"name": "share", "kind": "dense", "transform": "none"},
        ],
        "tasks": [
            {"name": "click", "label": {"column": "clicked"}},
            {
                "name": "long_view",
                "label": {"column": "seconds", "at_least": 30},
                "trained_where": "click",
            },
            {
                "name": "watch_time",
                "kind": "regression",
                "label": {"column": "seconds", "transform": "log1p"},
                "trained_where": "click",
            },
        ],
        "trunk": {"kind": "snr_trans", "layers": [{"sub_networks": 3, "units": 8}]},
    }
)

REQUEST_COLUMNS = ("user", "item", "tags", "hour", "age", "price", "rank", "share")

# What a row may hold that a tidy log does not.
EDGE_ROWS = [
    {},
    {"user": "", "item": "never seen", "tags": ["never seen", "b"], "hour": 6.0, "price": 0.0},
    {"user": "ü ñ 漢字 😀", "item": "i1", "tags": ["a", "a", "ü"], "hour": -1.0, "price": -3.0},
    {"user": "u" * 5000, "item": " i1 ", "tags": ["a|b"], "age": 1e30, "rank": -1e30},
    {"user": "u1", "item": "i2", "tags": [], "hour": 99.0, "age": 0.0, "share": 0.5},
]


def make_rows(count):
    random = np.random.default_rng(0)
    rows = []
    for index in range(count):
        clicked = float(index % 3 == 0)
        row = {
            "user": f"u{index % 11}",
            "item": f"i{index % 7}",
            "tags": ["a", "b", "c"][: index % 4],
            "hour": float(index % 24),
            "age": float(random.normal(30, 5)),
            "price": float(random.lognormal()),
            "rank": float(random.normal()),
            "share": float(random.random()),
            "clicked": clicked,
            "seconds": clicked * float(random.lognormal(3)),
        }
        if index % 5 == 0:
            del row["age"], row["item"]
        rows.append(row)
    return rows


def columns_of(rows):
    """Rows as instances of TFT: every column a list."""
    names = [feature.name for feature in make_schema(CONFIG).feature]
    return [{name: as_list(row.get(name)) for name in names} for row in rows]


def as_list(value):
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def to_example(row):
    example = tf.train.Example()
    for name, values in row.items():
        feature = example.features.feature[name]
        for value in as_list(values):
            if isinstance(value, str):
                feature.bytes_list.value.append(value.encode())
            else:
                feature.float_list.value.append(value)
    return example.SerializeToString()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A transform graph, an untrained ranker with open weights, and its SavedModel."""
    folder = tmp_path_factory.mktemp("world")
    rows = make_rows(120)
    metadata = dataset_metadata.DatasetMetadata(make_schema(CONFIG))
    data = DataConfig(features=CONFIG.features, tasks=CONFIG.tasks).model_dump_json()
    with tft_beam.Context(temp_dir=tempfile.mkdtemp(dir=folder)):
        (transformed, _), transform_fn = (columns_of(rows), metadata) | (
            tft_beam.AnalyzeAndTransformDataset(
                lambda inputs: preprocessing_fn(inputs, {"data": data})
            )
        )
        edge, _ = ((columns_of(EDGE_ROWS), metadata), transform_fn) | (tft_beam.TransformDataset())
        transform_fn | tft_beam.WriteTransformFn(str(folder / "transform"))
    transform = tft.TFTransformOutput(str(folder / "transform"))
    keras.utils.set_random_seed(5)
    ranker = MultiTaskRanker(CONFIG, num_ids(CONFIG, transform))
    in_beam = transformed + edge
    features = to_features(in_beam)
    ranker(features)
    for weight in ranker.trainable_variables:
        weight.assign(tf.random.normal(weight.shape, stddev=0.3))
    export(ranker, transform, CONFIG, str(folder / "model"))
    return folder, rows + EDGE_ROWS, in_beam, ranker.predict_values(features)


def to_features(instances):
    features = {}
    for name, spec in feature_spec(CONFIG).items():
        values = [row[name] for row in instances]
        if isinstance(spec, tf.io.RaggedFeature):
            features[name] = tf.ragged.constant(
                [list(v) for v in values], dtype=tf.int64, row_splits_dtype=tf.int64
            )
        else:
            features[name] = tf.constant(np.array(values).reshape(-1), spec.dtype)
    return features


SCORE_ALONE = """
import json, sys
import tensorflow as tf
assert not any(name.startswith("taskroute") for name in sys.modules)
folder, requests, scores = sys.argv[1:]
model = tf.saved_model.load(folder)
with open(requests) as file:
    request = json.load(file)
examples = tf.constant([bytes.fromhex(text) for text in request["examples"]])
raw = {name: tf.constant(values, tf.string if kind == "text" else tf.float32)
       for name, (kind, values) in request["raw"].items()}
answers = {
    "serving_default": model.signatures["serving_default"](examples=examples),
    "raw_features": model.signatures["raw_features"](**raw),
}
with open(scores, "w") as file:
    json.dump({name: {task: values.numpy().tolist() for task, values in answer.items()}
               for name, answer in answers.items()}, file)
"""


def raw_request(rows):
    request = {}
    for name in ("user", "item"):
        request[name] = ("text", [row.get(name, "") for row in rows])
    longest = max(len(row.get("tags", [])) for row in rows)
    padded = [(row.get("tags", []) + [""] * longest)[:longest] for row in rows]
    request["tags"] = ("text", padded)
    for name in ("hour", "age", "price", "rank", "share"):
        request[name] = ("number", [row.get(name, float("nan")) for row in rows])
    return request


@pytest.fixture(scope="module")
def served(world):
    """Scores by signature and task, from a process that cannot import taskroute."""
    folder, rows, _, _ = world
    requests = [{k: v for k, v in row.items() if k in REQUEST_COLUMNS} for row in rows]
    content = {"examples": [to_example(row).hex() for row in requests], "raw": raw_request(rows)}
    (folder / "requests.json").write_text(json.dumps(content))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TF_USE", "PYTHON"))}
    program = folder / "alone.py"
    program.write_text(SCORE_ALONE)
    subprocess.run(
        [sys.executable, program, folder / "model", folder / "requests.json", folder / "scores"],
        check=True,
        env=environment,
    )
    return json.loads((folder / "scores").read_text())


@pytest.mark.parametrize("signature", ["serving_default", "raw_features"])
@pytest.mark.parametrize("task", [task.name for task in CONFIG.tasks])
def test_the_served_score_is_the_trainers(world, served, signature, task):
    _, rows, _, expected = world
    scores = np.array(served[signature][task])
    assert scores.shape == (len(rows),)
    np.testing.assert_allclose(scores, expected[task].numpy(), rtol=1e-5, atol=1e-6)


def test_scores_differ_between_rows(served):
    for task in CONFIG.tasks:
        assert np.std(served["serving_default"][task.name]) > 1e-3


def test_missing_is_not_zero_and_not_unknown(world):
    _, rows, in_beam, _ = world
    missing, unknown = in_beam[len(rows) - len(EDGE_ROWS)], in_beam[len(rows) - len(EDGE_ROWS) + 1]
    assert missing["item"] == missing["user"] == missing["hour"] == 0
    assert unknown["item"] > 0
    assert unknown["hour"] == 2  # a boundary belongs to the bucket above it
    assert missing["age_missing"] == 1
    assert missing["age"] == 0
    last = in_beam[-1]
    assert last["age_missing"] == 0
    assert last["age"] != 0


def test_labels_and_weights_are_those_worked_out_by_hand(world):
    _, rows, in_beam, _ = world
    for row, transformed in zip(rows, in_beam, strict=True):
        clicked, seconds = row.get("clicked"), row.get("seconds")
        known = float(clicked is not None)
        assert transformed["label/click"] == (clicked or 0)
        assert transformed["weight/click"] == known
        assert transformed["weight/long_view"] == transformed["weight/watch_time"] == (clicked or 0)
        assert transformed["label/long_view"] == float((seconds or 0) >= 30)
        expected = np.log1p(seconds or 0)
        assert transformed["label/watch_time"] == pytest.approx(expected, rel=1e-5)


def test_the_saved_model_holds_weights_and_no_optimizer(world):
    folder = world[0]
    loaded = tf.saved_model.load(str(folder / "model"))
    signature = loaded.signatures["serving_default"]
    names = {op.type for op in signature.graph.get_operations()}
    assert not any("PyFunc" in name for name in names)
    variables = tf.train.list_variables(str(folder / "model" / "variables" / "variables"))
    assert not any("optimizer" in name.lower() for name, _ in variables)
    assert not (folder / "model" / "keras_metadata.pb").exists()
