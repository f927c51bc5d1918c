"""Artifacts of types that TFX does not have."""

from tfx.types.artifact import Artifact


class Quarantine(Artifact):
    """JSON lines, a bad row each: file, row, reason, column, problem, value.

    Its custom property `num_rows` counts them, `num_rows_<reason>` those of one reason; see
    `taskroute.components.logs.bad_rows`.
    """

    # TFX compiles no custom type for Kubeflow whose name is not like this.
    TYPE_NAME = "taskroute.Quarantine"


class ReportPage(Artifact):
    """A folder that holds the page of a run."""

    TYPE_NAME = "taskroute.ReportPage"
