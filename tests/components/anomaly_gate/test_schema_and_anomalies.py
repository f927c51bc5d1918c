"""The schema made from the config, and the gate that stops at what breaks it."""

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.types import standard_artifacts

from taskroute.components.anomaly_gate.component import AnomalyGate
from taskroute.components.log_schema_gen.component import LogSchemaGen
from taskroute.schemas.errors import DataError
from taskroute.schemas.log_schema import make_request_schema, make_schema
from taskroute.schemas.recommender import DataConfig

DATA = DataConfig.model_validate(
    {
        "features": [
            {"name": "user", "kind": "categorical", "hash_buckets": 9},
            {"name": "tags", "kind": "multivalent", "hash_buckets": 9},
            {"name": "age", "kind": "dense"},
            {
                "name": "age_band",
                "column": "age",
                "kind": "bucket",
                "boundaries": [30],
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
    artifact = standard_artifacts.ExampleAnomalies()
    artifact.uri = str(folder / "anomalies")
    AnomalyGate.test_call(anomalies=artifact)


def test_an_anomaly_of_severity_error_stops_the_run_and_is_named(tmp_path):
    with pytest.raises(DataError) as error:
        gate(tmp_path, anomalies_pb2.AnomalyInfo.ERROR)
    for word in ("'clicked'", "test split", "Out-of-range values"):
        assert word in str(error.value)


def test_a_warning_does_not_stop_the_run(tmp_path):
    gate(tmp_path, anomalies_pb2.AnomalyInfo.WARNING)
