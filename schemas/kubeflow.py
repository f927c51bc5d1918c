"""Settings of the stages on Kubeflow Pipelines; docs/kubeflow.md says how they get there."""

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
        "/state", description="Folder where stages see the volume."
    )


class Secret(Config):
    """A Kubernetes secret whose keys become environment variables of every stage."""

    name: _Text = Field(description="Name of the secret.")
    variables: dict[_Variable, _Text] = Field(
        min_length=1, description="Keys of the secret by environment variable."
    )


class Accelerator(Config):
    """Devices of one kind, by the name that the cluster's device plugin gives them."""

    type: _Text = Field("nvidia.com/gpu", description="Resource name of the device plugin.")
    count: PositiveInt = Field(1, description="Number of devices.")


class Toleration(Config):
    """Lets a stage onto nodes that are kept from others, as GPU nodes often are."""

    key: _Text = Field(description="Key of the taint.")
    operator: Literal["Exists", "Equal"] = Field(
        "Exists", description="Exists: any value of the taint. Equal: `value`."
    )
    value: str | None = Field(None, description="Value of the taint, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint; any by default."
    )

    @model_validator(mode="after")
    def _value_fits_operator(self) -> Self:
        if (self.operator == "Equal") != (self.value is not None):
            raise ValueError("`value` is for `operator: Equal`, which needs it")
        return self


class Step(Config):
    """Resources of one stage; the cluster decides what is left out."""

    cpu: PositiveFloat | None = Field(None, description="Cores: request and limit.")
    memory: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(M|G|T|Mi|Gi|Ti)$")] | None = (
        Field(None, description="Memory: request and limit, e.g. 16Gi.")
    )
    accelerator: Accelerator | None = None
    node_selector: dict[_Text, str] = Field(
        {}, description="Labels that the stage's node must have."
    )
    tolerations: tuple[Toleration, ...] = ()
    retries: NonNegativeInt = Field(0, description="Number of retries of a failed stage.")


class Kubeflow(Config):
    """Settings of runs on Kubeflow; a run on this machine ignores them."""

    volume: Volume | None = Field(
        None, description="Volume of the stages; `taskroute compile` needs one."
    )
    service_account: _Text | None = Field(
        None, description="Service account of the run; Kubeflow's own by default."
    )
    secrets: tuple[Secret, ...] = ()
    every_step: Step = Field(Step(), description="Resources of every stage.")
    steps: dict[str, Step] = Field(
        {}, description="Resources by stage, e.g. Trainer; they override `every_step` by field."
    )

    def step(self, name: str) -> Step:
        """Resources of the stage `name`."""
        own = self.steps.get(name, Step())
        overrides = {field: getattr(own, field) for field in own.model_fields_set}
        return self.every_step.model_copy(update=overrides)
