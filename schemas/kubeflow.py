"""What the stages are given on Kubeflow Pipelines. docs/kubeflow.md says how they get there."""

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    model_validator,
)

from taskroute.schemas.base import Config

_Text = Annotated[str, StringConstraints(min_length=1)]
_Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Volume(Config):
    """A persistent volume that every stage mounts: served models and checkpoints lie there."""

    claim: _Text = Field(description="Name of the persistent volume claim: ReadWriteMany.")
    mount_path: Annotated[str, StringConstraints(pattern=r"^/.*[^/]$")] = Field(
        "/state", description="Where stages see it."
    )


class Secret(Config):
    """A Kubernetes secret whose keys become environment variables of every stage."""

    name: _Text = Field(description="Of the secret.")
    variables: dict[_Variable, _Text] = Field(
        min_length=1, description="Environment variable to the key of the secret."
    )


class Accelerator(Config):
    """Devices of one kind, by the name that the cluster's device plugin gives them."""

    type: _Text = Field("nvidia.com/gpu", description="As the device plugin names it.")
    count: PositiveInt = Field(1, description="How many.")


class Toleration(Config):
    """Lets a stage onto nodes that are kept from others, as GPU nodes often are."""

    key: _Text = Field(description="Of the taint.")
    operator: Literal["Exists", "Equal"] = Field(
        "Exists", description="Any value of the taint, or `value`."
    )
    value: str | None = Field(None, description="For Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Of the taint; any by default."
    )

    @model_validator(mode="after")
    def _value_fits_operator(self) -> Self:
        if (self.operator == "Equal") != (self.value is not None):
            raise ValueError("`value` is for `operator: Equal`, which needs it")
        return self


class Step(Config):
    """What one stage is given; what is not said, the cluster decides."""

    cpu: PositiveFloat | None = Field(None, description="Cores, requested and at most.")
    memory: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(M|G|T|Mi|Gi|Ti)$")] | None = (
        Field(None, description="Requested and at most, e.g. 16Gi.")
    )
    accelerator: Accelerator | None = None
    node_selector: dict[_Text, str] = Field({}, description="Labels that its node must have.")
    tolerations: tuple[Toleration, ...] = ()
    retries: NonNegativeInt = Field(0, description="How often a failed stage is tried again.")


class Kubeflow(Config):
    """How the pipeline runs on Kubeflow; a run on this machine reads nothing of it."""

    volume: Volume | None = Field(None, description="Needed by `taskroute compile`.")
    service_account: _Text | None = Field(
        None, description="Of the run; Kubeflow's default by default."
    )
    secrets: tuple[Secret, ...] = ()
    every_step: Step = Field(Step(), description="What each stage is given.")
    steps: dict[str, Step] = Field(
        {}, description="By stage, e.g. Trainer; its fields go before those of `every_step`."
    )

    def step(self, name: str) -> Step:
        """What the stage `name` is given."""
        own = self.steps.get(name)
        if own is None:
            return self.every_step
        said = {field: getattr(own, field) for field in own.model_fields_set}
        return self.every_step.model_copy(update=said)
