"""What an interaction is: products of features, for the trunk to read."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from taskroute.schemas.base import Config


class CrossInteraction(Config):
    """Cross layers of DCN-V2: each multiplies all that the trunk would read by a sum of it.

    `x_{l+1} = x_0 * (W_l x_l + b_l) + x_l`: after L layers, products of up to L + 1 features.
    """

    kind: Literal["cross"] = "cross"
    layers: int = Field(2, ge=1, le=8, description="One above the other.")
    rank: PositiveInt | None = Field(
        None, description="Of W: a product of two narrow matrices; without it W is whole."
    )


class DotInteraction(Config):
    """The dot product of every two embeddings, beside what the trunk would read without it."""

    kind: Literal["dot"] = "dot"


Interaction = Annotated[CrossInteraction | DotInteraction, Field(discriminator="kind")]
