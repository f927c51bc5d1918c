"""Stops the run where DayMonitor alerts of a change whose limit has `stop: true`.

A stage of its own, because TFX removes what a failing stage wrote: DayMonitor's changes stay for
alerts.json and the report.
"""

from tfx.dsl.component.experimental.annotations import InputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import ExampleAnomalies

from taskroute.components.measures.judge import refuse_changes
from taskroute.schemas.change_record import DayChanges


@component
def ChangeGate(  # noqa: N802 - a component is named like a class
    changes: InputArtifact[ExampleAnomalies],
) -> None:
    """Passes, or raises the first change that stops.

    Args:
        changes: DayMonitor's.

    Raises:
        DataError: Names the column or task, the distance and the limit.
    """
    refuse_changes(DayChanges.read(changes.uri).changes)
