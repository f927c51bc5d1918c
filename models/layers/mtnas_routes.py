"""Local routes of MTNAS blocks, the cost of a network of them, and its reachable parts.

`mtnas` describes the method. Shape letters: I lower sub-networks, O upper blocks.
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
    """Route of a block: the places of its lower sub-networks, from 0, and its gate's query."""

    lower: tuple[int, ...]
    query: Query


def local_routes(num_lower: int, queries: Sequence[Query] = QUERIES) -> tuple[LocalRoute, ...]:
    """Routes of a block, by size and then by place.

    A route is a non-empty subset of the lower sub-networks with a query; single sub-networks need
    no gate and occur once. The number doubles with each lower sub-network: above 6 only single
    ones, pairs and the full set are offered (ours).
    """
    all_sizes = range(1, num_lower + 1)
    sizes = all_sizes if num_lower <= _ALL_SUBSETS_UP_TO else (1, 2, num_lower)
    return tuple(
        LocalRoute(subset, query)
        for size in sizes
        for subset in itertools.combinations(range(num_lower), size)
        for query in (queries if size > 1 else queries[:1])
    )


def selections(routes: Sequence[LocalRoute], num_lower: int) -> np.ndarray:
    """Mask of the lower sub-networks that each of the routes selects: bool (R, I)."""
    selected = np.zeros((len(routes), num_lower), bool)
    for row, route in zip(selected, routes, strict=True):
        row[list(route.lower)] = True
    return selected


def derived_cost(route: ShareRoute, units: Sequence[int], width: int) -> NetworkCost:
    """Cost of the network derived from `route`, without building it.

    Args:
        route: Share route of the network.
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
    """Cost of layers of `(sub_networks, units)`, bottom up, and of the blocks above each."""
    parameters, macs, below = 0, 0, width
    for (count, units), above in zip(sizes, blocks, strict=True):
        parameters += count * (below + 1) * units + above.parameters
        macs += count * below * units + above.macs
        below = units
    return NetworkCost(parameters=parameters, macs=macs)


def gated(routes: Sequence[LocalRoute], query: Query) -> list[tuple[int, int]]:
    """Connections `(block, lower)` weighted by a gate with this query."""
    return [
        (block, lower)
        for block, route in enumerate(routes)
        if route.query == query and len(route.lower) > 1
        for lower in route.lower
    ]


def routed_cost(
    routes: Sequence[LocalRoute], num_lower: int, width: int, units: int
) -> NetworkCost:
    """Cost of the gates and mixtures of blocks with these routes."""
    by_input, by_lower = (gated(routes, query) for query in QUERIES)
    if not by_input and not by_lower:
        return NetworkCost(parameters=0, macs=0)
    gates = len(by_input) * width + len(by_lower) * units
    means = len({block for block, _ in by_lower})
    return NetworkCost(parameters=gates, macs=gates + (len(routes) + means) * num_lower * units)


def reachable(
    route: ShareRoute,
) -> tuple[list[list[int]], list[list[tuple[tuple[int, ...], Query]]]]:
    """Places of the sub-networks that tasks reach, by layer, and the routes among them."""
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
