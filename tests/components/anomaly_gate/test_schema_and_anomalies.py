"""The schema made from the config, and the gate that stops at what breaks it."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf import text_format
from pydantic import ValidationError
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.types import standard_artifacts

from taskroute.components.anomaly_gate.component import AnomalyGate
from taskroute.components.log_schema_gen.component import LogSchemaGen
from taskroute.schemas.errors import DataError
from taskroute.schemas.log_schema import make_request_schema, make_schema
from taskroute.schemas.recommender import DataConfig, RecommenderConfig

DATA = DataConfig.model_validate(
    {
        "features": [
            {"name": "user", "kind": "categorical", "hash_buckets": 9, "max_drift": 0.1},
            {"name": "tags", "kind": "multivalent", "hash_buckets": 9},
            {"name": "age", "kind": "dense", "max_skew": 0.2},
            {
                "name": "age_band",
                "column": "age",
                "kind": "bucket",
                "boundaries": [30],
                "max_skew": 0.1,
            },
        ],
        "tasks": [
            {"name": "click", "label": {"column": "clicked"}},
            {"name": "long_view", "label": {"column": "seconds", "at_least": 30}},
        ],
    }
)


def test_the_schema_holds_each_column_once_with_its_type():
    types = {feature.name: feature.type for feature in make_schema(DATA).feature}
    texts, numbers = ("user", "tags"), ("age", "clicked", "seconds")
    expected = dict.fromkeys(texts, schema_pb2.BYTES) | dict.fromkeys(numbers, schema_pb2.FLOAT)
    assert types == expected


def test_only_lists_may_hold_more_than_one_value():
    most = {feature.name: feature.value_count.max for feature in make_schema(DATA).feature}
    assert most == {"user": 1, "tags": 0, "age": 1, "clicked": 1, "seconds": 1}


def test_a_request_holds_no_label():
    names = [feature.name for feature in make_request_schema(DATA).feature]
    assert names == ["user", "tags", "age"]


def test_the_component_writes_the_schema(tmp_path):
    schema = standard_artifacts.Schema()
    schema.uri = str(tmp_path / "schema")
    LogSchemaGen.test_call(data=DATA.model_dump_json(), schema=schema)
    written = (tmp_path / "schema" / "schema.pbtxt").read_text()
    assert text_format.Parse(written, schema_pb2.Schema()) == make_schema(DATA)


def test_the_schema_limits_skew_and_drift_and_the_smaller_limit_of_a_column_counts():
    columns = {feature.name: feature for feature in make_schema(DATA).feature}
    assert columns["user"].drift_comparator.infinity_norm.threshold == 0.1
    assert not columns["user"].HasField("skew_comparator")
    assert columns["age"].skew_comparator.jensen_shannon_divergence.threshold == 0.1
    assert not columns["tags"].HasField("drift_comparator")


USERS = [b"a", b"b", b"c"]


def write_statistics(folder, user_shares, age_mean, num_rows=3000):
    random = np.random.default_rng(0)
    rows = pa.RecordBatch.from_pydict(
        {
            "user": [[user] for user in random.choice(USERS, num_rows, p=user_shares)],
            "age": [[age] for age in random.normal(age_mean, 5, num_rows).astype(np.float32)],
        }
    )
    folder.mkdir(parents=True)
    statistics = stats_impl.generate_statistics_in_memory(rows)
    (folder / "FeatureStats.pb").write_bytes(statistics.SerializeToString())


def gate(folder, severity=None):
    """Runs the gate on what is in `folder`; the test split has an anomaly of `severity`."""
    for split in ("train", "test"):
        found = anomalies_pb2.Anomalies()
        if split == "test" and severity is not None:
            found.anomaly_info["clicked"].severity = severity
            found.anomaly_info["clicked"].short_description = "Out-of-range values"
            found.anomaly_info["clicked"].description = "Unexpectedly high value: 2."
        place = folder / "anomalies" / f"Split-{split}"
        place.mkdir(parents=True)
        (place / "SchemaDiff.pb").write_bytes(found.SerializeToString())
    kinds = {
        "anomalies": standard_artifacts.ExampleAnomalies,
        "statistics": standard_artifacts.ExampleStatistics,
        "schema": standard_artifacts.Schema,
        "shifts": standard_artifacts.ExampleAnomalies,
    }
    artifacts = {name: kind() for name, kind in kinds.items()}
    for name, artifact in artifacts.items():
        artifact.uri = str(folder / name)
    LogSchemaGen.test_call(data=DATA.model_dump_json(), schema=artifacts["schema"])
    AnomalyGate.test_call(**artifacts)


@pytest.fixture
def folder(tmp_path):
    """With statistics that are within every limit."""
    for name in ("Split-train", "Split-test", "Span-2026-01-30", "Span-2026-01-31"):
        write_statistics(tmp_path / "statistics" / name, [0.5, 0.3, 0.2], 40)
    return tmp_path


def test_an_anomaly_of_severity_error_stops_the_run_and_is_named(folder):
    with pytest.raises(DataError) as error:
        gate(folder, anomalies_pb2.AnomalyInfo.ERROR)
    for word in ("'clicked'", "test split", "Out-of-range values"):
        assert word in str(error.value)


def test_a_warning_does_not_stop_the_run(folder):
    gate(folder, anomalies_pb2.AnomalyInfo.WARNING)


def test_what_was_measured_is_written(folder):
    gate(folder)
    measured = json.loads((folder / "shifts" / "shifts.json").read_text())
    assert [(shift["column"], shift["rule"]) for shift in measured] == [
        ("age", "max_skew"),
        ("user", "max_drift"),
    ]
    assert all(shift["distance"] == 0 and shift["finding"] == "" for shift in measured)


def test_skew_beyond_its_limit_stops_the_run_and_is_named(folder):
    shutil.rmtree(folder / "statistics" / "Split-test")
    write_statistics(folder / "statistics" / "Split-test", [0.5, 0.3, 0.2], 55)
    with pytest.raises(DataError) as error:
        gate(folder)
    for word in ("'age'", "from train to test", "`max_skew` of 0.1", "Jensen-Shannon"):
        assert word in str(error.value)


def test_drift_beyond_its_limit_stops_the_run_and_names_days_and_value(folder):
    shutil.rmtree(folder / "statistics" / "Span-2026-01-31")
    write_statistics(folder / "statistics" / "Span-2026-01-31", [0.2, 0.3, 0.5], 40)
    with pytest.raises(DataError) as error:
        gate(folder)
    for word in (
        "'user'",
        "from 2026-01-30 to 2026-01-31",
        "`max_drift` of 0.1",
        "difference is: ",
    ):
        assert word in str(error.value)
    measured = json.loads((folder / "shifts" / "shifts.json").read_text())
    assert measured[1]["distance"] == pytest.approx(0.3, abs=0.03)


def test_one_span_has_no_drift(folder):
    shutil.rmtree(folder / "statistics" / "Span-2026-01-31")
    gate(folder)


def test_drift_needs_two_spans():
    with pytest.raises(ValidationError, match=r"features\[0\].max_drift.*window_days"):
        RecommenderConfig.model_validate(
            {
                **DATA.model_dump(mode="json", exclude_none=True),
                "name": "demo",
                "source": {
                    "path": "logs/*.csv",
                    "format": "csv",
                    "split": {"by": "hash", "key": "user"},
                },
            }
        )
