"""Stops the run where the log breaks its schema.

ExampleValidator itself only writes its findings: without this stage a run goes on with bad data.
"""

from pathlib import Path

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import ExampleAnomalies

from taskroute.schemas.errors import DataError


@component
def AnomalyGate(  # noqa: N802 - a component is named like a class
    anomalies: InputArtifact[ExampleAnomalies],
) -> None:
    """Passes, or raises the first anomaly.

    Args:
        anomalies: ExampleValidator's findings, a `SchemaDiff.pb` a split.

    Raises:
        DataError: Names the split, the column and the rule.
    """
    for path in sorted(Path(anomalies.uri).glob("Split-*/SchemaDiff.pb")):
        diff = anomalies_pb2.Anomalies.FromString(path.read_bytes())
        for column, info in sorted(diff.anomaly_info.items()):
            if info.severity == anomalies_pb2.AnomalyInfo.ERROR:
                split = path.parent.name.removeprefix("Split-")
                raise DataError(
                    f"column '{column}' in the {split} split breaks the schema: "
                    f"{info.short_description}: {info.description} Mend the log or the config"
                )
