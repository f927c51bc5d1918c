"""What MTNAS chooses from: a block's local routes, what a network of them costs, what is left.

`mtnas` tells the method. Shape letters: I lower sub-networks, O upper blocks.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from taskroute.schemas.routes import NetworkCost, Query, ShareRoute

QUERIES: tuple[Query, ...] = ("input", "lower")

_ALL_SUBSETS_UP_TO = 6


@dataclass(frozen=True)
class LocalRoute:
    """One route of a block: the lower sub-networks it selects, from 0, and its gate's query."""

    lower: tuple[int, ...]
    query: Query


def local_routes(num_lower: int, queries: Sequence[Query] = QUERIES) -> tuple[LocalRoute, ...]:
    """All routes of a block, by size and then by place.

    Every non-empty subset of the lower sub-networks with every query; a single one needs no gate
    and so counts once. Their number doubles with each lower sub-network: above 6 only single ones,
    pairs and the full set are offered (ours).
    """
    sizes: Sequence[int] = range(1, num_lower + 1)
    if num_lower > _ALL_SUBSETS_UP_TO:
        sizes = (1, 2, num_lower)
    return tuple(
        LocalRoute(subset, query)
        for size in sizes
        for subset in itertools.combinations(range(num_lower), size)
        for query in (queries if size > 1 else queries[:1])
    )


def selections(routes: Sequence[LocalRoute], num_lower: int) -> np.ndarray:
    """Which lower sub-networks each of the routes selects: bool (R, I)."""
    selected = np.zeros((len(routes), num_lower), bool)
    for row, route in zip(selected, routes, strict=True):
        row[list(route.lower)] = True
    return selected


def derived_cost(route: ShareRoute, units: Sequence[int], width: int) -> NetworkCost:
    """What the network of `route` costs, without making it.

    Args:
        route: What is connected.
        units: Width of the sub-networks of each layer, bottom up.
        width: Width of the input.
    """
    kept, routes = reachable(route)
    sizes = [(len(places), each) for places, each in zip(kept, units, strict=True)]
    blocks = [
        routed_cost([LocalRoute(*pair) for pair in local], count, width, each)
        for local, (count, each) in zip(routes, sizes, strict=True)
    ]
    return network_cost(sizes, blocks, width)


def network_cost(
    sizes: Sequence[tuple[int, int]], blocks: Sequence[NetworkCost], width: int
) -> NetworkCost:
    """Of layers of `(sub_networks, units)`, bottom up, with the blocks above each of them."""
    parameters, macs, below = 0, 0, width
    for (count, units), above in zip(sizes, blocks, strict=True):
        parameters += count * (below + 1) * units + above.parameters
        macs += count * below * units + above.macs
        below = units
    return NetworkCost(parameters=parameters, macs=macs)


def gated(routes: Sequence[LocalRoute], query: Query) -> list[tuple[int, int]]:
    """`(block, lower)` of the connections whose weight a gate with this query decides."""
    return [
        (block, lower)
        for block, route in enumerate(routes)
        if route.query == query and len(route.lower) > 1
        for lower in route.lower
    ]


def routed_cost(
    routes: Sequence[LocalRoute], num_lower: int, width: int, units: int
) -> NetworkCost:
    """Of the gates and mixtures of blocks with these routes."""
    by_input, by_lower = (gated(routes, query) for query in QUERIES)
    if not by_input and not by_lower:
        return NetworkCost(parameters=0, macs=0)
    gates = len(by_input) * width + len(by_lower) * units
    means = len({block for block, _ in by_lower})
    return NetworkCost(parameters=gates, macs=gates + (len(routes) + means) * num_lower * units)


def reachable(
    route: ShareRoute,
) -> tuple[list[list[int]], list[list[tuple[tuple[int, ...], Query]]]]:
    """Places of the sub-networks that tasks reach, a list a layer, and the routes among them."""
    remaining = list(route.blocks)
    by_layer = []
    for upper in [*route.sub_networks[1:], len(route.tasks)]:
        by_layer.append(remaining[:upper])
        remaining = remaining[upper:]
    kept: list[list[int]] = []
    routes: list[list[tuple[tuple[int, ...], Query]]] = []
    above = list(range(len(route.tasks)))
    for blocks in reversed(by_layer):
        selected = [[int(name.split(".")[1]) - 1 for name in blocks[i].lower] for i in above]
        below = sorted({place for places in selected for place in places})
        routes.append(
            [
                (tuple(below.index(place) for place in sorted(places)), blocks[i].query)
                for places, i in zip(selected, above, strict=True)
            ]
        )
        kept.append(below)
        above = below
    return kept[::-1], routes[::-1]
