"""Stops the run where the log breaks its schema or moved further than the config allows.

ExampleValidator itself only writes its findings: without this stage a run goes on with bad data.
"""

import json
from dataclasses import asdict
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import ExampleAnomalies, ExampleStatistics, Schema

from taskroute.components.anomaly_gate.distribution_shift import Shift, measure_shifts
from taskroute.schemas.errors import DataError

SHIFTS_FILE = "shifts.json"


@component
def AnomalyGate(  # noqa: N802 - a component is named like a class
    anomalies: InputArtifact[ExampleAnomalies],
    statistics: InputArtifact[ExampleStatistics],
    schema: InputArtifact[Schema],
    shifts: OutputArtifact[ExampleAnomalies],
) -> None:
    """Passes, or raises the first anomaly, skew or drift.

    Args:
        anomalies: ExampleValidator's findings, a `SchemaDiff.pb` a split.
        statistics: StatisticsGen's.
        schema: LogSchemaGen's; its comparators limit skew and drift.
        shifts: Receives SHIFTS_FILE: a list of what was measured, of `Shift`'s fields.

    Raises:
        DataError: Names the split or span, the column and the rule.
    """
    for path in sorted(Path(anomalies.uri).glob("Split-*/SchemaDiff.pb")):
        found = anomalies_pb2.Anomalies.FromString(path.read_bytes())
        for column, info in sorted(found.anomaly_info.items()):
            if info.severity == anomalies_pb2.AnomalyInfo.ERROR:
                split = path.parent.name.removeprefix("Split-")
                raise DataError(
                    f"column '{column}' in the {split} split breaks the schema: "
                    f"{info.short_description}: {info.description} Mend the log or the config"
                )
    limits = text_format.Parse((Path(schema.uri) / "schema.pbtxt").read_text(), schema_pb2.Schema())
    measured = measure_shifts(Path(statistics.uri), limits)
    folder = Path(shifts.uri)
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps([asdict(shift) for shift in measured], indent=1)
    (folder / SHIFTS_FILE).write_text(content + "\n", encoding="utf-8")
    for shift in measured:
        if shift.is_too_far:
            raise DataError(_sentence(shift))


def _sentence(shift: Shift) -> str:
    return (
        f"column '{shift.column}' moved by {shift.distance:.3g} from {shift.since} to {shift.now}, "
        f"more than its `{shift.rule}` of {shift.limit:g}: {shift.finding.rstrip('.')}; look at "
        "the log, or raise the limit if the change is meant"
    )
