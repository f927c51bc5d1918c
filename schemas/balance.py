"""Configs of balancers, which turn the losses of several tasks into one step."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from taskroute.schemas.base import Config


class FixedBalance(Config):
    """Sum of the losses, each times its task's `loss_weight`."""

    kind: Literal["fixed"] = "fixed"


class UncertaintyBalance(Config):
    """Weights learned with the model, from the uncertainty of each task."""

    kind: Literal["uncertainty"] = "uncertainty"
    learning_rate: PositiveFloat = Field(
        0.01, description="Learning rate of the log variances (Adam)."
    )


class GradNormBalance(Config):
    """Weights that keep the norms of the tasks' gradients equal."""

    kind: Literal["gradnorm"] = "gradnorm"
    alpha: NonNegativeFloat = Field(
        0.5, description="Strength of the favour for tasks that learn slowly; 0: equal norms."
    )
    learning_rate: PositiveFloat = Field(0.025, description="Learning rate of the weights.")


class DwaBalance(Config):
    """Weights from the rate at which each task's loss fell over the last two epochs."""

    kind: Literal["dwa"] = "dwa"
    temperature: PositiveFloat = Field(
        2.0, description="Temperature of the softmax; higher makes the weights more equal."
    )


class PcGradBalance(Config):
    """Projects conflicting gradients of the tasks out of each other, in shared weights."""

    kind: Literal["pcgrad"] = "pcgrad"


class CaGradBalance(Config):
    """Moves the step towards the task worst off, near the sum of the gradients."""

    kind: Literal["cagrad"] = "cagrad"
    radius: float = Field(
        0.4, ge=0, lt=1, description="Largest distance from the mean gradient, in lengths of it."
    )


Balance = Annotated[
    FixedBalance
    | UncertaintyBalance
    | GradNormBalance
    | DwaBalance
    | PcGradBalance
    | CaGradBalance,
    Field(discriminator="kind"),
]
