"""StatisticsGen: the interface of the component."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from taskroute.components.statistics_gen import executor


class StatisticsGenSpec(component_spec.ComponentSpec):
    """Inputs and outputs of StatisticsGen."""

    PARAMETERS: dict[str, component_spec.ExecutionParameter] = {}
    INPUTS = {
        executor.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples)
    }
    OUTPUTS = {
        executor.STATISTICS_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics
        )
    }


class StatisticsGen(base_beam_component.BaseBeamComponent):
    """Does the work of TFX's StatisticsGen in batches, and has its output.

    The statistics are TFDV's own. Counts of the most frequent values and of distinct values come
    from its sketches: exact up to 1,024 and 16,384 distinct values of a column, estimates above.
    """

    SPEC_CLASS = StatisticsGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(self, examples: types.BaseChannel):
        """Constructs the component.

        Args:
            examples: Raw `Examples`.
        """
        super().__init__(
            spec=StatisticsGenSpec(
                examples=examples,
                statistics=types.Channel(type=standard_artifacts.ExampleStatistics),
            )
        )
