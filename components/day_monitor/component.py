"""DayMonitor: the interface of the component."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from taskroute.components.day_monitor import executor
from taskroute.schemas.monitoring import Monitoring
from taskroute.schemas.recommender import DataConfig


class DayMonitorSpec(component_spec.ComponentSpec):
    """Inputs, outputs and properties of DayMonitor; `data` and `monitoring` are JSON."""

    PARAMETERS = {
        executor.DATA_KEY: component_spec.ExecutionParameter(type=str),
        executor.MONITORING_KEY: component_spec.ExecutionParameter(type=str),
        executor.GROUP_KEY: component_spec.ExecutionParameter(type=str),
        executor.CONFIDENCE_KEY: component_spec.ExecutionParameter(type=float),
        executor.SERVING_KEY: component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        executor.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples),
        executor.STATISTICS_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics
        ),
        executor.TRANSFORM_GRAPH_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph
        ),
    }
    OUTPUTS = {
        executor.CHANGES_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.ExampleAnomalies
        )
    }


class DayMonitor(base_beam_component.BaseBeamComponent):
    """Compares the newest span of the log with those before it, and the test with the train split.

    Values, missing values and labels are compared in the log; unknown terms, predictions and
    calibration for a served version that was trained before the newest span. DayMonitor only writes
    the changes: ChangeGate stops the run. Its counts are kept, to compare a serving log with them.
    """

    SPEC_CLASS = DayMonitorSpec
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
            spec=DayMonitorSpec(
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
