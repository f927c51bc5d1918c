"""StatisticsGen: the interface of the component."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts

from taskroute.components.interface import make_spec
from taskroute.components.statistics_gen import executor


class StatisticsGen(base_beam_component.BaseBeamComponent):
    """Does the work of TFX's StatisticsGen in batches, and has its output.

    The statistics are TFDV's own. Counts of the most frequent values and of distinct values come
    from its sketches: exact up to 1,024 and 16,384 distinct values of a column, estimates above.
    """

    SPEC_CLASS = make_spec(
        inputs={"examples": standard_artifacts.Examples},
        outputs={"statistics": standard_artifacts.ExampleStatistics},
        parameters={},
    )
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(self, examples: types.BaseChannel):
        """Constructs the component.

        Args:
            examples: Raw `Examples`.
        """
        super().__init__(
            spec=self.SPEC_CLASS(
                examples=examples,
                statistics=types.Channel(type=standard_artifacts.ExampleStatistics),
            )
        )
