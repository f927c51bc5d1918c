"""MTNAS-style share routing: a supernet to search in, and the network derived from a route.

Reference: Chen, Gu, Fu, "Boosting Share Routing for Multi-task Learning", WWW 2021 companion, arXiv
2009.00387; neither its full text nor its code was available. From its abstract and Fig. 2: layers
of sub-networks; a block's local route is a combination of lower sub-networks, softly gated, with a
choice of the gate's query; typical ways of sharing are sub-graphs. All else is ours: the form of
the gate, the queries, and that a task's block has no sub-network of its own.

Shape letters: B batch, D width of the input, I lower sub-networks, O upper blocks, U units,
M routes of the whole network, K blocks, T tasks.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from taskroute.models.layers.experts import Experts
from taskroute.models.layers.mtnas_blocks import RoutedBlocks, SearchBlocks
from taskroute.models.layers.mtnas_routes import LocalRoute, network_cost, reachable
from taskroute.models.layers.trunk import RoutingMatrix, Trunk, all_part_names, reader_names
from taskroute.schemas import trunks
from taskroute.schemas.routes import BlockRoute, NetworkCost, ShareRoute


class _Mtnas(Trunk):
    """Base class of both networks: rows of sub-networks, and blocks that mix each row.

    Attributes:
        layer_sizes: Sizes `(sub_networks, units)` of each row, bottom up.
    """

    config: trunks.MtnasTrunk
    layer_sizes: tuple[tuple[int, int], ...]
    sub_networks: list[Experts]
    blocks: list[Any]

    def build(self, input_shape: Any) -> None:
        self._width = int(input_shape[-1])
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        below = inputs
        for sub_networks, blocks in zip(self.sub_networks, self.blocks, strict=True):
            features_BIU = sub_networks(below, training=training)
            mixed_BOU = blocks((inputs, features_BIU), training=training)
            below = tf.transpose(mixed_BOU, [1, 0, 2])
        return self._by_task(mixed_BOU, axis=1)

    def macs(self) -> int:
        return self.cost(self._width).macs

    def cost(self, width: int) -> NetworkCost:
        """Cost of the network with an input of `width`, also before it is built."""
        blocks = [
            blocks.cost(width, units)
            for blocks, (_, units) in zip(self.blocks, self.layer_sizes, strict=True)
        ]
        return network_cost(self.layer_sizes, blocks, width)


class MtnasSupernet(_Mtnas):
    """Supernet of all share routes: layers of search blocks, then one block a task.

    A block selects lower sub-networks, mixes them by a gate and passes the mixture through its own
    sub-network, a dense layer; a task's block passes it to the task's tower. The first layer reads
    the input unrouted. `SearchBlocks` defines the gate. One block a layer is a shared bottom;
    everything selected with the input as query is an MMoE; a route corresponds to SNR-Aver's
    coding matrix.

    Args:
        config: Config of the sub-networks of each layer, their activation and dropout, and the
            gates' queries.
        task_names: Keys of the result.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units.

    Returns:
        {task: (B, U)}, U the width of the last layer.

    Raises:
        ValueError: If there is no task.
    """

    def __init__(self, config: trunks.MtnasTrunk, task_names: Sequence[str], **kwargs: Any):
        super().__init__(config, task_names, **kwargs)
        self.layer_sizes = tuple((layer.sub_networks, layer.units) for layer in config.layers)
        self.sub_networks = self._dense_rows(self.layer_sizes, "sub_networks", experts_first=False)
        counts = [count for count, _ in self.layer_sizes]
        self.blocks = [
            SearchBlocks(upper, lower, queries=config.queries, name=name)
            for name, (lower, upper) in zip(
                reader_names(len(counts)),
                itertools.pairwise([*counts, len(self.task_names)]),
                strict=True,
            )
        ]

    @property
    def num_routes(self) -> tuple[int, ...]:
        """Number of routes of each block: bottom up, then the tasks."""
        return tuple(len(blocks.routes) for blocks in self.blocks for _ in range(blocks.num_upper))

    def set_route(self, indices: np.ndarray | tf.Tensor) -> None:
        """Sets the route of each block by index: int64 (K,), in the order of `num_routes`."""
        start = 0
        for blocks in self.blocks:
            blocks.route.assign(indices[start : start + blocks.num_upper])
            start += blocks.num_upper

    def served_tasks(self, indices: np.ndarray) -> np.ndarray:
        """Mask of the tasks that each block's output reaches, for M routes of the network at once.

        Args:
            indices: Indices of the blocks' routes, in the order of `num_routes`: int (M, K).

        Returns:
            bool (M, K, T), which does not depend on the block's own route.
        """
        tasks = len(self.task_names)
        above = np.broadcast_to(np.eye(tasks, dtype=bool), (len(indices), tasks, tasks))
        served, end = [above], indices.shape[1]
        for blocks in reversed(self.blocks[1:]):
            taken_MO = indices[:, end - blocks.num_upper : end]
            end -= blocks.num_upper
            selected_MOI = blocks.selections[taken_MO]
            above = np.any(selected_MOI[..., np.newaxis] & above[:, :, np.newaxis], axis=1)
            served.append(above)
        return np.concatenate(served[::-1], axis=1)

    def route(self, indices: Sequence[int] | np.ndarray) -> ShareRoute:
        """Share route of the network for one route of each block, by index."""
        return ShareRoute(
            tasks=self.task_names,
            sub_networks=tuple(count for count, _ in self.layer_sizes),
            blocks=tuple(
                _block_route(name, lower, blocks.routes[int(index)])
                for (name, lower, blocks), index in zip(self._named_blocks(), indices, strict=True)
            ),
        )

    def choices(self) -> tuple[tuple[BlockRoute, ...], ...]:
        """Routes of each block, in the order of `num_routes`."""
        return tuple(
            tuple(_block_route(name, lower, local) for local in blocks.routes)
            for name, lower, blocks in self._named_blocks()
        )

    def _named_blocks(self) -> Iterator[tuple[str, tuple[str, ...], SearchBlocks]]:
        """Yields each block's name, the names of the layer below it, and its layer of blocks."""
        parts = self._parts()
        uppers = [*parts[1:], self.task_names]
        for blocks, lower, upper in zip(self.blocks, parts, uppers, strict=True):
            for name in upper:
                yield name, lower, blocks

    def routing(self) -> tuple[RoutingMatrix, ...]:
        """Equal shares of the present route's selection; gates differ from example to example."""
        return self._matrices(self._parts(), [blocks.shares() for blocks in self.blocks])

    def _parts(self) -> list[tuple[str, ...]]:
        return all_part_names([count for count, _ in self.layer_sizes])


class MtnasDerived(_Mtnas):
    """Network derived from a share route, without the sub-networks that no task reaches.

    Args:
        config: Config of the supernet's sub-networks, their activation and dropout, and the route.
        task_names: Keys of the result.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units and update the gates' usage.

    Returns:
        {task: (B, U)}, U the width of the last layer.

    Raises:
        ValueError: If there is no route, or it is for other tasks.
    """

    def __init__(self, config: trunks.MtnasTrunk, task_names: Sequence[str], **kwargs: Any):
        if config.route is None or config.route.tasks != tuple(task_names):
            raise ValueError(
                "`config.route` must be a route for `task_names`. Received: "
                f"task_names={tuple(task_names)}, route={config.route}"
            )
        super().__init__(config, task_names, **kwargs)
        self.kept, routes = reachable(config.route)
        self.layer_sizes = tuple(
            (len(kept), layer.units) for kept, layer in zip(self.kept, config.layers, strict=True)
        )
        self.sub_networks = self._dense_rows(self.layer_sizes, "sub_networks", experts_first=False)
        self.blocks = [
            RoutedBlocks(local, len(kept), name=name)
            for name, local, kept in zip(reader_names(len(routes)), routes, self.kept, strict=True)
        ]

    def routing(self) -> tuple[RoutingMatrix, ...]:
        """Mean gates over recent training batches; parts have the supernet's names."""
        names = all_part_names([layer.sub_networks for layer in self.config.layers])
        parts = [
            tuple(layer[place] for place in kept)
            for layer, kept in zip(names, self.kept, strict=True)
        ]
        return self._matrices(parts, [tf.convert_to_tensor(x.usage) for x in self.blocks])


def _block_route(name: str, lower: tuple[str, ...], local: LocalRoute) -> BlockRoute:
    return BlockRoute(block=name, lower=[lower[place] for place in local.lower], query=local.query)
