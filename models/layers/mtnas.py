"""MTNAS-style share routing: a supernet to search in, and the network that a route leaves of it.

Reference: Chen, Gu, Fu, "Boosting Share Routing for Multi-task Learning", WWW 2021 companion, arXiv
2009.00387. Neither its full text nor code of it could be had. From its abstract and Fig. 2: layers
of sub-networks; a block's local route is a combination of lower sub-networks, softly gated, with a
choice of the gate's query; typical ways of sharing are sub-graphs. All else is ours: the gate's
form, which queries there are, and that a task's block has no sub-network of its own.

Shape letters: B batch, D width of the input, I lower sub-networks, O upper blocks, U units,
M routes of the whole network, K blocks, T tasks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from pydantic import TypeAdapter

from taskroute.models.layers.experts import Experts
from taskroute.models.layers.mtnas_blocks import RoutedBlocks, SearchBlocks
from taskroute.models.layers.mtnas_routes import QUERIES, LocalRoute, network_cost, reachable
from taskroute.models.layers.trunk import RoutingMatrix, Trunk, part_names
from taskroute.schemas.routes import BlockRoute, NetworkCost, Query, ShareRoute


@keras.utils.register_keras_serializable(package="taskroute")
class MtnasSupernet(Trunk):
    """The network that holds every share route: layers of search blocks, then one block a task.

    A block selects lower sub-networks, mixes them by a gate and passes the mixture through its own
    sub-network, a dense layer; a task's block passes it to the task's tower. The first layer reads
    the input unrouted. `SearchBlocks` tells the gate. One block a layer is a shared bottom;
    everything selected with the input as query is an MMoE; routes are what SNR-Aver's coding is.

    Args:
        task_names: The keys of the result.
        layers: `(sub_networks, units)` of each layer, bottom up.
        queries: The queries that a gate may have.
        activation: Name of the activation of the sub-networks.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units.

    Returns:
        {task: (B, U)}, U the width of the last layer.

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(
        self,
        task_names: Sequence[str],
        *,
        layers: Sequence[tuple[int, int]],
        queries: Sequence[Query] = QUERIES,
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        if not layers:
            raise ValueError(f"`layers` must not be empty. Received: layers={layers}")
        super().__init__(task_names, **kwargs)
        self.layer_sizes = tuple((int(count), int(units)) for count, units in layers)
        self.queries, self.activation, self.dropout = tuple(queries), activation, dropout
        counts = [count for count, _ in self.layer_sizes]
        self.sub_networks = _sub_networks(self.layer_sizes, activation, dropout)
        self.blocks = [
            SearchBlocks(upper, lower, queries=self.queries, name=name)
            for lower, upper, name in zip(
                counts,
                [*counts[1:], len(self.task_names)],
                _block_layers(len(counts)),
                strict=True,
            )
        ]

    def build(self, input_shape: Any) -> None:
        self._width = int(input_shape[-1])
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        below = inputs
        for sub_networks, blocks in zip(self.sub_networks, self.blocks, strict=True):
            mixed_BOU = blocks((inputs, sub_networks(below, training=training)))
            below = tf.transpose(mixed_BOU, [1, 0, 2])
        return self._by_task(mixed_BOU, axis=1)

    @property
    def num_routes(self) -> tuple[int, ...]:
        """How many routes each block has: bottom up, then the tasks."""
        return tuple(len(blocks.routes) for blocks in self.blocks for _ in range(blocks.num_upper))

    def set_route(self, indices: np.ndarray | tf.Tensor) -> None:
        """Gives each block one of its routes: int64 (K,), in the order of `num_routes`."""
        start = 0
        for blocks in self.blocks:
            blocks.route.assign(indices[start : start + blocks.num_upper])
            start += blocks.num_upper

    def served_tasks(self, indices: np.ndarray) -> np.ndarray:
        """Which tasks a block's output reaches, for M routes of the network at once.

        Args:
            indices: int (M, K): the routes that the blocks take, in the order of `num_routes`.

        Returns:
            bool (M, K, T). It does not depend on what the block itself takes.
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
        """The network's routes where each block has one of its own by index."""
        chosen = iter(indices)
        routes = []
        for layer, blocks in enumerate(self.blocks, start=1):
            for name in self._block_names(layer):
                local = blocks.routes[int(next(chosen))]
                routes.append(_block_route(name, layer, local, blocks.num_lower))
        counts = tuple(count for count, _ in self.layer_sizes)
        return ShareRoute(tasks=self.task_names, sub_networks=counts, blocks=tuple(routes))

    def choices(self) -> tuple[tuple[BlockRoute, ...], ...]:
        """The routes of each block, in the order of `num_routes`."""
        return tuple(
            tuple(_block_route(name, layer, local, blocks.num_lower) for local in blocks.routes)
            for layer, blocks in enumerate(self.blocks, start=1)
            for name in self._block_names(layer)
        )

    def _block_names(self, layer: int) -> tuple[str, ...]:
        if layer == len(self.blocks):
            return self.task_names
        return part_names(layer + 1, self.layer_sizes[layer][0])

    def routing(self) -> tuple[RoutingMatrix, ...]:
        """Equal parts of what the present route selects; gates differ from example to example."""
        return tuple(
            RoutingMatrix(
                blocks.name,
                self._block_names(layer),
                part_names(layer, blocks.num_lower),
                blocks.shares(),
            )
            for layer, blocks in enumerate(self.blocks, start=1)
        )

    def macs(self) -> int:
        return self.cost(self._width).macs

    def cost(self, width: int) -> NetworkCost:
        """What the network costs with an input of `width`; it need not be built."""
        return network_cost(
            self.layer_sizes,
            [
                blocks.cost(width, units)
                for blocks, (_, units) in zip(self.blocks, self.layer_sizes, strict=True)
            ],
            width,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layers": self.layer_sizes,
            "queries": self.queries,
            "activation": self.activation,
            "dropout": self.dropout,
        }


@keras.utils.register_keras_serializable(package="taskroute")
class MtnasDerived(Trunk):
    """The network that a share route leaves: sub-networks that no task reaches do not exist.

    Args:
        task_names: The keys of the result.
        layers: `(sub_networks, units)` of each layer of the supernet, bottom up.
        blocks: The route of every block, as `ShareRoute` orders them.
        activation: Name of the activation of the sub-networks.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units and keep account of the gates.

    Returns:
        {task: (B, U)}, U the width of the last layer.

    Raises:
        ValueError: If the blocks do not fit the layers and the tasks.
    """

    def __init__(
        self,
        task_names: Sequence[str],
        *,
        layers: Sequence[tuple[int, int]],
        blocks: Sequence[BlockRoute],
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        try:
            self._route = ShareRoute(
                tasks=tuple(task_names),
                sub_networks=tuple(count for count, _ in layers),
                blocks=tuple(blocks),
            )
        except ValueError as error:
            raise ValueError(
                f"`blocks` must fit `layers` and `task_names` ({error}). Received: layers={layers}"
            ) from error
        super().__init__(task_names, **kwargs)
        self.activation, self.dropout = activation, dropout
        self.kept, routes = reachable(self._route)
        self.full_sizes = tuple((int(count), int(units)) for count, units in layers)
        self.layer_sizes = tuple(
            (len(kept), units) for kept, (_, units) in zip(self.kept, self.full_sizes, strict=True)
        )
        self.sub_networks = _sub_networks(self.layer_sizes, activation, dropout)
        self.blocks = [
            RoutedBlocks(local, len(kept), name=name)
            for local, kept, name in zip(
                routes, self.kept, _block_layers(len(self.kept)), strict=True
            )
        ]

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        below = inputs
        for sub_networks, blocks in zip(self.sub_networks, self.blocks, strict=True):
            features_BIU = sub_networks(below, training=training)
            mixed_BOU = blocks((inputs, features_BIU), training=training)
            below = tf.transpose(mixed_BOU, [1, 0, 2])
        return self._by_task(mixed_BOU, axis=1)

    def build(self, input_shape: Any) -> None:
        self._width = int(input_shape[-1])
        super().build(input_shape)

    def routing(self) -> tuple[RoutingMatrix, ...]:
        """The gates' means over recent training batches; parts keep the supernet's names."""
        names = [
            tuple(part_names(layer, count)[place] for place in kept)
            for layer, (kept, (count, _)) in enumerate(
                zip(self.kept, self.full_sizes, strict=True), start=1
            )
        ]
        uppers = [*names[1:], self.task_names]
        return tuple(
            RoutingMatrix(blocks.name, upper, lower, tf.convert_to_tensor(blocks.usage))
            for blocks, upper, lower in zip(self.blocks, uppers, names, strict=True)
        )

    def macs(self) -> int:
        return self.cost(self._width).macs

    def cost(self, width: int) -> NetworkCost:
        """What the network costs with an input of `width`; it need not be built."""
        return network_cost(
            self.layer_sizes,
            [
                blocks.cost(width, units)
                for blocks, (_, units) in zip(self.blocks, self.layer_sizes, strict=True)
            ],
            width,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layers": self.full_sizes,
            "blocks": [route.model_dump(mode="json") for route in self._route.blocks],
            "activation": self.activation,
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MtnasDerived":
        blocks = TypeAdapter(tuple[BlockRoute, ...]).validate_python(config["blocks"])
        return cls(**{**config, "blocks": blocks})


def _sub_networks(
    sizes: Sequence[tuple[int, int]], activation: str, dropout: float
) -> list[Experts]:
    return [
        Experts(
            count,
            (units,),
            num_inputs=1 if layer == 1 else count,
            activation=activation,
            dropout=dropout,
            name=f"sub_networks_{layer}",
        )
        for layer, (count, units) in enumerate(sizes, start=1)
    ]


def _block_layers(count: int) -> list[str]:
    return [*(f"layer_{layer}" for layer in range(2, count + 1)), "tasks"]


def _block_route(name: str, layer: int, local: LocalRoute, num_lower: int) -> BlockRoute:
    lower = part_names(layer, num_lower)
    return BlockRoute(block=name, lower=[lower[place] for place in local.lower], query=local.query)
