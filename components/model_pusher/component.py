"""ModelPusher: the interface of the component."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts

from taskroute.components.interface import make_spec
from taskroute.components.model_pusher import executor


class ModelPusher(base_component.BaseComponent):
    """Puts a blessed model into the serving folder as its newest version.

    A model without every blessing is not pushed, and that is no error: `pushed_model` then has the
    property `pushed` at 0, and the served version stays.
    """

    SPEC_CLASS = make_spec(
        inputs={
            "model": standard_artifacts.Model,
            "blessing": standard_artifacts.ModelBlessing,
            "infra_blessing": standard_artifacts.InfraBlessing,
        },
        outputs={"pushed_model": standard_artifacts.PushedModel},
        parameters={"destination": str, "model_name": str, "keep_versions": int},
        optional=("infra_blessing",),
    )
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        blessing: types.BaseChannel,
        destination: str,
        model_name: str,
        infra_blessing: types.BaseChannel | None = None,
        keep_versions: int = 5,
    ):
        """Constructs the component.

        Args:
            model: `Model`, the candidate.
            blessing: `ModelBlessing` of that candidate.
            destination: Local folder that holds the model's versions, e.g. serving/demo.
            model_name: Name under which the model is served.
            infra_blessing: `InfraBlessing` of that candidate, obeyed as `blessing` is; None where
                nothing checks whether it serves.
            keep_versions: Number of newest versions that stay in `destination`.

        Raises:
            ValueError: If `destination` or `model_name` is empty, `destination` is not local, or
                `keep_versions` is below 1.
        """
        if not destination or "://" in destination:
            raise ValueError(
                f"`destination` must be a local folder. Received: destination={destination!r}"
            )
        if not model_name:
            raise ValueError("`model_name` must not be empty. Received: model_name=''")
        if keep_versions < 1:
            raise ValueError(f"`keep_versions` must be at least 1. Received: {keep_versions}")
        super().__init__(
            spec=self.SPEC_CLASS(
                model=model,
                blessing=blessing,
                infra_blessing=infra_blessing,
                destination=destination,
                model_name=model_name,
                keep_versions=keep_versions,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
