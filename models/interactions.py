"""Builder of interaction layers, the one place that names them all."""

from typing import Any

from taskroute.models.layers.embedding import FeatureEmbedding
from taskroute.models.layers.interaction import (
    CrossNetwork,
    DotProducts,
    Interaction,
    NoInteraction,
)
from taskroute.schemas import interactions


def build_interaction(
    config: interactions.Interaction | None, embedding: FeatureEmbedding
) -> Interaction:
    """Makes the layer that `config` describes, for the output of `embedding`.

    It computes in float32, like the embeddings, whatever the precision of the trunk: products need
    the range, and are a small part of the arithmetic.
    """
    common: dict[str, Any] = {"name": "interaction", "dtype": "float32"}
    match config:
        case None:
            return NoInteraction(**common)
        case interactions.CrossInteraction():
            return CrossNetwork(config, **common)
        case interactions.DotInteraction():
            widths = embedding.embedded_widths
            return DotProducts(len(widths), widths[0], **common)
