"""DayMonitor on shards of raw examples; with a model that serves it is tested in tests/e2e."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tensorflow_data_validation.statistics import stats_impl
from tfx import types
from tfx.types import standard_artifacts

from taskroute.components.day_monitor import executor
from taskroute.components.day_monitor.component import DayMonitor
from taskroute.components.day_monitor.executor import Executor
from taskroute.components.logs.examples import read_batches, shard_name
from taskroute.components.measures.day_records import read_tables
from taskroute.components.measures.tables import NO_SPAN
from taskroute.schemas.change_record import DayChanges
from taskroute.schemas.monitoring import Monitoring
from taskroute.schemas.recommender import DataConfig

DATA = DataConfig.model_validate(
    {
        "features": [
            {"name": "device", "kind": "categorical", "vocabulary": {}},
            {"name": "age", "kind": "dense"},
        ],
        "tasks": [{"name": "click", "label": {"column": "clicked"}}],
    }
)
NUM_ROWS = {"train": 900, "test": 100}


def make_row(number):
    return {
        "device": [[b"phone", b"tv", b"desktop"][number % 3]],
        "age": [float(number % 50)] if number % 10 else None,
        "clicked": [float(number % 2)],
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Examples of a log without spans, and their statistics."""
    folder = tmp_path_factory.mktemp("world")
    for split, count in NUM_ROWS.items():
        path = folder / "examples" / f"Split-{split}" / shard_name(0, 1)
        path.parent.mkdir(parents=True)
        schema = pa.schema(
            {
                "device": pa.list_(pa.binary()),
                "age": pa.list_(pa.float32()),
                "clicked": pa.list_(pa.float32()),
            }
        )
        pq.write_table(pa.Table.from_pylist(list(map(make_row, range(count))), schema), path)
    path = folder / "examples/Split-train" / shard_name(0, 1)
    (batch,) = read_batches(str(path), ["device", "age"])
    statistics = folder / "statistics" / "Split-train" / "FeatureStats.pb"
    statistics.parent.mkdir(parents=True)
    found = stats_impl.generate_statistics_in_memory(batch)
    statistics.write_bytes(found.SerializeToString())
    return folder


def run(world, folder, **monitoring):
    artifacts = {
        "examples": standard_artifacts.Examples(),
        "statistics": standard_artifacts.ExampleStatistics(),
        "transform_graph": standard_artifacts.TransformGraph(),
    }
    for name, artifact in artifacts.items():
        artifact.uri = str(world / name)
    artifacts["examples"].split_names = json.dumps(list(NUM_ROWS))
    for split, count in NUM_ROWS.items():
        artifacts["examples"].set_int_custom_property(f"num_rows_{split}", count)
    changes = standard_artifacts.ExampleAnomalies()
    changes.uri = str(folder)
    Executor(
        Executor.Context(beam_pipeline_args=["--runner=FnApiRunner", "--sdk_container_image=local"])
    ).Do(
        {name: [artifact] for name, artifact in artifacts.items()},
        {"changes": [changes]},
        {
            "data": DATA.model_dump_json(),
            "monitoring": Monitoring(**monitoring).model_dump_json(),
            "group_key": "",
            "confidence": 0.95,
            "serving": "",
        },
    )
    return DayChanges.read(folder), read_tables(folder)


def test_a_log_without_spans_is_counted_for_a_serving_log_to_be_compared_with(world, tmp_path):
    changes, tables = run(world, tmp_path)
    assert changes.now is None
    assert changes.changes == ()
    assert "fewer than two spans" in changes.note
    assert changes.rows == {NO_SPAN: 1000}
    counted = tables[NO_SPAN]
    sums = {key: table.sum(axis=0).tolist() for key, table in counted.items()}
    assert sums["missing", "age"] == [100, 1000]
    assert sums["label_delay", "clicked"] == [0, 1000]
    terms = next(one.terms for one in changes.histograms if one.column == "device")
    expected = dict(zip([b"phone", b"tv", b"desktop"], [334, 333, 333], strict=True))
    assert sums["drift", "device"] == [*(expected[term.encode()] for term in terms), 0]
    assert np.asarray(sums["drift", "age"]).sum() == 900
    assert not any(signal in ("label_rate", "oov") for signal, _ in sums)


def test_the_test_split_is_compared_with_the_train_split_where_that_is_asked_for(world, tmp_path):
    own = {"columns": {"age": {"split_shift": {"threshold": 0.1, "stop": True}}}}
    changes, tables = run(world, tmp_path, **own)
    (shift,) = changes.changes
    assert (shift.signal, shift.name, shift.since, shift.now) == (
        "split_shift",
        "age",
        "train",
        "test",
    )
    # Both splits hold 0 to 49 alike; the distance of 90 rows is 0 but for chance.
    assert shift.change == pytest.approx(0, abs=0.05)
    assert (shift.stop, shift.alert) == (True, False)
    assert tables["test"]["split_shift", "age"].sum() == 90
    assert set(tables["train"]) == {("split_shift", "age"), ("split_shift", "device")}


def test_of_many_rows_one_in_so_many_is_counted(world, tmp_path, monkeypatch):
    monkeypatch.setattr(executor, "MOST_ROWS", 250)
    changes, tables = run(world, tmp_path)
    assert changes.every == 4
    assert changes.rows == {NO_SPAN: 250}
    assert tables[NO_SPAN]["missing", "device"].sum(axis=0).tolist() == [0, 250]


def test_rows_of_no_span_are_not_compared_where_others_have_one(tmp_path):
    folder = tmp_path / "Split-train"
    folder.mkdir()
    for name in (shard_name(0, 3, "9"), shard_name(1, 3, "10"), shard_name(2, 3)):
        (folder / name).touch()
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(tmp_path), '["train"]'
    shards = [(span, split) for span, split, _, _ in executor._shards(examples)]
    assert shards == [("9", "train"), ("10", "train"), (None, "train")]


def test_the_component_gives_changes():
    component = DayMonitor(
        examples=types.Channel(type=standard_artifacts.Examples),
        statistics=types.Channel(type=standard_artifacts.ExampleStatistics),
        transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
        data=DATA,
        monitoring=Monitoring(),
        group_key=None,
        confidence=0.95,
        serving="",
    )
    assert component.outputs["changes"].type is standard_artifacts.ExampleAnomalies
    assert component.exec_properties["group_key"] == ""
