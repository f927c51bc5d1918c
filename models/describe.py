"""Costs of a ranker: parameters and arithmetic, part by part."""

from collections.abc import Iterator, Mapping

import tf_keras as keras

from taskroute.models.layers.compact_trunk import CompactTrunk
from taskroute.models.layers.trunk import Trunk
from taskroute.models.ranker import MultiTaskRanker
from taskroute.schemas.training_record import PartCost


def describe(
    ranker: MultiTaskRanker, trunk: Trunk | CompactTrunk | None = None
) -> tuple[PartCost, ...]:
    """Costs of the parts in the order of computation, then their sum as `total`.

    Args:
        ranker: Ranker, once built.
        trunk: Replacement of the ranker's own trunk, such as a compacted one.
    """
    trunk = trunk or ranker.trunk
    interactions = {"interaction": ranker.interaction} if ranker.interaction.macs() else {}
    towers = {f"tower {name}": tower for name, tower in ranker.towers.items()}
    heads = {f"head {name}": head for name, head in ranker.heads.items()}
    parts = [
        *_costs({"embedding": ranker.embedding, **interactions}),
        PartCost(part="trunk", parameters=trunk.parameters(), macs=trunk.macs()),
        *_costs({**towers, **heads}),
    ]
    parameters, macs = (sum(getattr(x, key) for x in parts) for key in ("parameters", "macs"))
    return (*parts, PartCost(part="total", parameters=parameters, macs=macs))


def _costs(layers: Mapping[str, keras.layers.Layer]) -> Iterator[PartCost]:
    for name, layer in layers.items():
        scalars = sum(weight.shape.num_elements() for weight in layer.trainable_weights)
        yield PartCost(part=name, parameters=scalars, macs=layer.macs())
