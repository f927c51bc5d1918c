"""Configs of interactions: products of features, for the trunk to read."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from taskroute.schemas.base import Config


class CrossInteraction(Config):
    """Cross layers of DCN-V2: each multiplies the embedded features by a linear map of them.

    `x_{l+1} = x_0 * (W_l x_l + b_l) + x_l`: after L layers, products of up to L + 1 features.
    """

    kind: Literal["cross"] = "cross"
    layers: int = Field(2, ge=1, le=8, description="Number of cross layers.")
    rank: PositiveInt | None = Field(
        None, description="Rank of W, a product of two narrow matrices; None makes W a full matrix."
    )


class DotInteraction(Config):
    """Dot product of every two embeddings, beside the embedded features."""

    kind: Literal["dot"] = "dot"


Interaction = Annotated[CrossInteraction | DotInteraction, Field(discriminator="kind")]
