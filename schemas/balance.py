"""How the losses of several tasks become one step."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from taskroute.schemas.base import Config


class FixedBalance(Config):
    """The sum of the losses, each times its task's `loss_weight`."""

    kind: Literal["fixed"] = "fixed"


class UncertaintyBalance(Config):
    """Weights learned with the model, from how uncertain each task remains."""

    kind: Literal["uncertainty"] = "uncertainty"
    learning_rate: PositiveFloat = Field(0.01, description="Of the log variances (Adam).")


class GradNormBalance(Config):
    """Weights that hold the norms of the tasks' gradients at one height."""

    kind: Literal["gradnorm"] = "gradnorm"
    alpha: NonNegativeFloat = Field(
        0.5, description="How strongly a task that learns slowly is favoured; 0: equal norms."
    )
    learning_rate: PositiveFloat = Field(0.025, description="Of the weights.")


class DwaBalance(Config):
    """Weights from how fast each task's loss fell over the last two epochs."""

    kind: Literal["dwa"] = "dwa"
    temperature: PositiveFloat = Field(2.0, description="The higher, the more equal the weights.")


class PcGradBalance(Config):
    """Takes out of each task's gradient what goes against another's, in what the tasks share."""

    kind: Literal["pcgrad"] = "pcgrad"


class CaGradBalance(Config):
    """Steps towards what helps the worst task most, near the sum of the gradients."""

    kind: Literal["cagrad"] = "cagrad"
    radius: float = Field(
        0.4, ge=0, lt=1, description="How far from the mean gradient, in lengths of it; 0: at it."
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
