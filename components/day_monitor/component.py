"""DayMonitor: the interface of the component."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts

from taskroute.components.day_monitor import executor
from taskroute.components.interface import make_spec
from taskroute.schemas.monitoring import Monitoring
from taskroute.schemas.recommender import DataConfig


class DayMonitor(base_beam_component.BaseBeamComponent):
    """Compares the newest span of the log with those before it, and the test with the train split.

    Values, missing values and labels are compared in the log; unknown terms, predictions and
    calibration for a served version that was trained before the newest span. DayMonitor only writes
    the changes: ChangeGate stops the run. Its counts are kept, to compare a serving log with them.
    """

    SPEC_CLASS = make_spec(
        inputs={
            "examples": standard_artifacts.Examples,
            "statistics": standard_artifacts.ExampleStatistics,
            "transform_graph": standard_artifacts.TransformGraph,
        },
        outputs={"changes": standard_artifacts.ExampleAnomalies},
        parameters={
            "data": str,
            "monitoring": str,
            "group_key": str,
            "confidence": float,
            "serving": str,
        },
    )
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        statistics: types.BaseChannel,
        transform_graph: types.BaseChannel,
        data: DataConfig,
        monitoring: Monitoring,
        group_key: str | None,
        confidence: float,
        serving: str,
    ):
        """Constructs the component.

        Args:
            examples: Raw `Examples`.
            statistics: Output of StatisticsGen; the train split gives the cells of histograms.
            transform_graph: `TransformGraph` that makes the labels and the weights.
            data: Columns and tasks of the log.
            monitoring: Limits of changes.
            group_key: Column that names the independent unit, as in an evaluation.
            confidence: Confidence level of all alerts together.
            serving: Folder of the model's versions; "" where there is none.
        """
        super().__init__(
            spec=self.SPEC_CLASS(
                examples=examples,
                statistics=statistics,
                transform_graph=transform_graph,
                data=data.model_dump_json(),
                monitoring=monitoring.model_dump_json(),
                group_key=group_key or "",
                confidence=confidence,
                serving=serving,
                changes=types.Channel(type=standard_artifacts.ExampleAnomalies),
            )
        )
