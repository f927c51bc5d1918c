"""ServingCheck: the interface of the component."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts

from taskroute.components.interface import make_spec
from taskroute.components.serving_check import executor
from taskroute.schemas.serving_check import Contract


class ServingCheck(base_component.BaseComponent):
    """Checks a model as a server would, in a process without our code, and blesses it if it serves.

    The model's operations must be TensorFlow's own; its signatures must keep the contract; its
    warm-up requests must give the scores that the Trainer wrote beside them; it must refuse bad
    requests and answer unusual ones. Latencies are recorded and decide nothing.
    """

    SPEC_CLASS = make_spec(
        inputs={"model": standard_artifacts.Model},
        outputs={"blessing": standard_artifacts.InfraBlessing},
        parameters={"contract": str},
    )
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, model: types.BaseChannel, contract: Contract):
        """Constructs the component.

        Args:
            model: `Model`, the candidate.
            contract: Inputs and outputs that the model must have.
        """
        super().__init__(
            spec=self.SPEC_CLASS(
                model=model,
                contract=contract.model_dump_json(),
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
