"""What a ranker costs: parameters and arithmetic, part by part."""

from dataclasses import dataclass

import tf_keras as keras

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


def describe(ranker: MultiTaskRanker) -> tuple[PartCost, ...]:
    """The parts in the order of computation, then their sum as `total`; `ranker` must be built."""
    towers, heads = ranker.towers, ranker.heads
    parts = [
        PartCost("embedding", _parameters(ranker.embedding), 0),
        PartCost("trunk", ranker.trunk.parameters(), ranker.trunk.macs()),
        *(PartCost(f"tower {name}", _parameters(x), x.macs()) for name, x in towers.items()),
        *(PartCost(f"head {name}", _parameters(x), x.kernel.shape[0]) for name, x in heads.items()),
    ]
    total = PartCost("total", sum(x.parameters for x in parts), sum(x.macs for x in parts))
    return (*parts, total)


def _parameters(layer: keras.layers.Layer) -> int:
    return sum(weight.shape.num_elements() for weight in layer.trainable_weights)
