"""What a ranker costs: parameters and arithmetic, part by part."""

from dataclasses import dataclass

import tf_keras as keras

from taskroute.models.layers.compact_trunk import CompactTrunk
from taskroute.models.layers.interaction import Interaction
from taskroute.models.layers.trunk import Trunk
from taskroute.models.ranker import MultiTaskRanker


@dataclass(frozen=True)
class PartCost:
    """One part of a ranker.

    `parameters` counts trained scalars; `macs` counts the multiply-accumulates of its products for
    one row at inference. A lookup is no product.
    """

    part: str
    parameters: int
    macs: int


def describe(
    ranker: MultiTaskRanker, trunk: Trunk | CompactTrunk | None = None
) -> tuple[PartCost, ...]:
    """The parts in the order of computation, then their sum as `total`.

    Args:
        ranker: Built.
        trunk: What is in the place of the ranker's own trunk, such as a compacted one.
    """
    towers, heads, trunk = ranker.towers, ranker.heads, trunk or ranker.trunk
    parts = [
        PartCost("embedding", _parameters(ranker.embedding), ranker.embedding.macs()),
        *_of_interaction(ranker.interaction),
        PartCost("trunk", trunk.parameters(), trunk.macs()),
        *(PartCost(f"tower {name}", _parameters(x), x.macs()) for name, x in towers.items()),
        *(PartCost(f"head {name}", _parameters(x), x.macs()) for name, x in heads.items()),
    ]
    total = PartCost("total", sum(x.parameters for x in parts), sum(x.macs for x in parts))
    return (*parts, total)


def _of_interaction(layer: Interaction) -> list[PartCost]:
    """Nothing of one that does nothing."""
    cost = PartCost("interaction", _parameters(layer), layer.macs())
    return [cost] if cost.macs else []


def _parameters(layer: keras.layers.Layer) -> int:
    return sum(weight.shape.num_elements() for weight in layer.trainable_weights)
