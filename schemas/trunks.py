"""What a trunk is: all layers between the embeddings and the towers, and how tasks share them."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from taskroute.schemas.base import Config


class _Trunk(Config):
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of units dropped after each layer.")


class SharedBottomTrunk(_Trunk):
    """One body for every task."""

    kind: Literal["shared_bottom"] = "shared_bottom"
    units: tuple[PositiveInt, ...] = Field((128, 64), min_length=1)


class SubNetworkLayer(Config):
    """A row of parallel sub-networks of equal width."""

    sub_networks: PositiveInt = 4
    units: PositiveInt = 32


class SnrTransTrunk(_Trunk):
    """Sub-network routing with a transformation on every connection (Ma et al., AAAI 2019).

    The paper searches temperature in [0.5, 0.9], stretch in [-1, -0.1] and [1.1, 2] and does not
    state how log-alpha starts; the defaults of `log_alpha_start` and `gate_learning_rate` are ours.
    """

    kind: Literal["snr_trans"]
    layers: tuple[SubNetworkLayer, ...] = Field(
        (SubNetworkLayer(), SubNetworkLayer()), min_length=1, description="Bottom up."
    )
    task_units: PositiveInt | None = Field(
        None, description="Width of what a task receives; the last layer's `units` by default."
    )
    l0_penalty: NonNegativeFloat = Field(
        1e-4, description="Lambda: loss added for each connection expected to be open."
    )
    temperature: float = Field(2 / 3, gt=0, lt=1)
    stretch: tuple[float, float] = (-0.1, 1.1)
    log_alpha_start: float = 2.0
    gate_learning_rate: PositiveFloat = 0.01

    @model_validator(mode="after")
    def _stretch_reaches_past_the_ends(self) -> "SnrTransTrunk":
        left, right = self.stretch
        if left >= 0 or right <= 1:
            raise ValueError("`stretch` must start below 0 and end above 1")
        return self


Trunk = Annotated[SharedBottomTrunk | SnrTransTrunk, Field(discriminator="kind")]
