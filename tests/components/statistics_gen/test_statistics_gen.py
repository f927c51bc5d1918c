"""Statistics from batches are those of TFX's StatisticsGen."""

import copy
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.statistics_gen import executor as stock
from tfx.types import standard_artifacts

from taskroute.components.logs.example_tensors import tf_examples
from taskroute.components.logs.examples import shard_name
from taskroute.components.statistics_gen.component import StatisticsGen
from taskroute.components.statistics_gen.executor import Executor
from taskroute.schemas.log_schema import make_schema
from taskroute.schemas.recommender import DataConfig

DATA = DataConfig.model_validate(
    {
        "features": [
            {"name": "user", "kind": "categorical", "hash_buckets": 10},
            {"name": "tags", "kind": "multivalent", "vocabulary": {}},
            {"name": "age", "kind": "dense"},
            {"name": "nowhere", "kind": "dense", "required": True},
        ],
        "tasks": [{"name": "click", "label": {"column": "clicked"}}],
    }
)
SPLITS = {"train": 700, "validation": 90}


SCHEMA = pa.schema(
    [(name, pa.list_(pa.binary())) for name in ("user", "tags")]
    + [(name, pa.list_(pa.float32())) for name in ("age", "nowhere", "clicked")]
)


def make_row(number, random):
    row = {"clicked": [float(number % 3 == 0)]}
    if number % 5:
        row["user"] = [b"u%d" % (random.integers(12) ** 2)]
        row["age"] = [random.normal(30, 5)]
    tags = [b"a", "ü".encode(), b"c", b""][: number % 5]
    return {**row, "tags": tags or None}


def write(path, rows):
    """Writes a shard, and the same rows as TFX's own stage reads them."""
    table = pa.Table.from_pylist(rows, SCHEMA)
    pq.write_table(table, path)
    stock_path = path.parents[1] / "stock" / path.parent.name / f"{path.stem}.gz"
    stock_path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(stock_path), "GZIP") as writer:
        for batch in table.to_batches():
            for example in tf_examples(batch).numpy():
                writer.write(example)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    random = np.random.default_rng(0)
    for split, count in SPLITS.items():
        (folder / f"Split-{split}").mkdir()
        for shard in range(2):
            path = folder / f"Split-{split}" / shard_name(shard, 2)
            write(path, [make_row(number, random) for number in range(shard, count, 2)])
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.split_names = str(folder), json.dumps(list(SPLITS))
    artifact.span = 7
    return artifact


def run(kind, examples, folder, properties):
    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(folder)
    executor = kind(
        kind.Context(beam_pipeline_args=["--runner=FnApiRunner", "--sdk_container_image=local"])
    )
    executor.Do({"examples": [examples]}, {"statistics": [statistics]}, properties)
    return statistics


def by_feature(statistics, split):
    path = f"{statistics.uri}/Split-{split}/FeatureStats.pb"
    (dataset,) = tfdv.load_stats_binary(path).datasets
    return dataset.num_examples, {feature.path.step[0]: feature for feature in dataset.features}


@pytest.fixture(scope="module")
def ours(examples, tmp_path_factory):
    properties = {"data": DATA.model_dump_json()}
    return run(Executor, examples, tmp_path_factory.mktemp("ours"), properties)


@pytest.fixture(scope="module")
def theirs(examples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("theirs")
    examples = copy.copy(examples)
    examples.uri = f"{examples.uri}/stock"
    return run(stock.Executor, examples, folder, {"exclude_splits": "[]"})


@pytest.mark.parametrize("split", SPLITS)
def test_the_statistics_of_every_column_are_tfxs(ours, theirs, split):
    num_rows, mine = by_feature(ours, split)
    assert num_rows == SPLITS[split]
    _, expected = by_feature(theirs, split)
    assert set(mine) == set(expected)
    # A column without any value has no type in the log: TFX takes it for text, we for what it is.
    without_values = expected.pop("nowhere").string_stats.common_stats.num_missing
    assert without_values == mine["nowhere"].num_stats.common_stats.num_missing == num_rows
    for name, feature in expected.items():
        # Sums of floats in another order differ in their last digits.
        for found in (mine[name], feature):
            if found.HasField("num_stats"):
                numbers = found.num_stats
                numbers.mean, numbers.std_dev = round(numbers.mean, 6), round(numbers.std_dev, 6)
        assert text_format.MessageToString(mine[name]) == text_format.MessageToString(feature)


def anomalies(statistics, data):
    return tfdv.validate_statistics(
        tfdv.load_stats_binary(f"{statistics.uri}/Split-train/FeatureStats.pb"), make_schema(data)
    )


def test_a_required_column_without_any_value_is_an_anomaly(ours):
    found = anomalies(ours, DATA)
    assert set(found.anomaly_info) == {"nowhere"}
    assert found.anomaly_info["nowhere"].severity == anomalies_pb2.AnomalyInfo.ERROR


def test_a_feature_that_is_not_required_may_have_no_value(ours):
    features = [{**each.model_dump(), "required": False} for each in DATA.features]
    data = DataConfig.model_validate({"features": features, "tasks": DATA.tasks})
    assert not anomalies(ours, data).anomaly_info


def test_a_label_without_any_value_is_an_anomaly(ours):
    features = [each for each in DATA.features if each.name != "nowhere"]
    task = {"name": "rating", "kind": "regression", "label": {"column": "nowhere"}}
    data = DataConfig.model_validate({"features": features, "tasks": [*DATA.tasks, task]})
    assert set(anomalies(ours, data).anomaly_info) == {"nowhere"}


def test_the_artifact_names_its_splits_and_its_span(ours):
    assert json.loads(ours.split_names) == list(SPLITS)
    assert ours.span == 7


@pytest.fixture
def three_days(tmp_path):
    """Two splits of 10, 20 and 30 rows a day each."""
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        (tmp_path / f"Split-{split}").mkdir()
        for index, (day, count) in enumerate((("30", 10), ("31", 20), ("29", 30))):
            name = shard_name(index, 3, f"2026-01-{day}")
            rows = [make_row(number, random) for number in range(count)]
            write(tmp_path / f"Split-{split}" / name, rows)
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.split_names = str(tmp_path), '["train", "test"]'
    return artifact


def test_splits_have_statistics_and_spans_none(three_days, tmp_path):
    run(Executor, three_days, tmp_path / "out", {"data": DATA.model_dump_json()})
    folders = [file.parent.name for file in (tmp_path / "out").glob("*/FeatureStats.pb")]
    assert sorted(folders) == ["Split-test", "Split-train"]


def test_the_component_gives_statistics():
    component = StatisticsGen(examples=types.Channel(type=standard_artifacts.Examples))
    assert component.outputs["statistics"].type is standard_artifacts.ExampleStatistics
