"""MTNAS-style share routing: a supernet to search in, and the network that a route leaves of it.

Reference: Chen, Gu, Fu, "Boosting Share Routing for Multi-task Learning", WWW 2021 companion, arXiv
2009.00387. Neither its full text nor code of it could be had. From its abstract and Fig. 2: layers
of sub-networks; a block's local route is a combination of lower sub-networks, softly gated, with a
choice of the gate's query; typical ways of sharing are sub-graphs. All else is ours: the gate's
form, which queries there are, and that a task's block has no sub-network of its own.

Shape letters: B batch, D width of the input, I lower sub-networks, O upper blocks, R routes of a
block, U units, N gated connections.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from pydantic import TypeAdapter

from taskroute.models.layers.experts import Experts, glorot_uniform, grouped_product, join_groups
from taskroute.models.layers.trunk import RoutingMatrix, Trunk, part_names
from taskroute.schemas.routes import BlockRoute, NetworkCost, Query, ShareRoute

QUERIES: tuple[Query, ...] = ("input", "lower")

_ALL_SUBSETS_UP_TO = 6
_USAGE_MOMENTUM = 0.99
_CLOSED = -1e9


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


@keras.utils.register_keras_serializable(package="taskroute")
class SearchBlocks(keras.layers.Layer):
    """The search blocks of one layer: each mixes the lower sub-networks that its route selects.

    `v_o = sum_{j in S_o} softmax_{j in S_o}(W_o q_o)_j u_j`, where the query q_o is the trunk's
    input or the mean of the selected u_j. A single selected one has weight 1. All blocks are
    computed in one product a query, with the routes as masks, so that to set other routes costs
    nothing and traces nothing.

    Args:
        num_upper: Number of blocks, O.
        num_lower: Number of lower sub-networks, I.
        queries: The queries offered.

    Call arguments:
        inputs: The trunk's input (B, D) and the lower outputs (B, I, U).

    Returns:
        (B, O, U).

    Attributes:
        routes: What `route` chooses from.
        selections: bool (R, I): the lower sub-networks that each of `routes` selects.
        route: int64 (O,), not trained: the index of each block's route. At the start every block
            selects all, and the queries take turns.

    Raises:
        ValueError: If a size is not positive or a query is unknown.
    """

    def __init__(
        self, num_upper: int, num_lower: int, *, queries: Sequence[Query] = QUERIES, **kwargs: Any
    ):
        if min(num_upper, num_lower) <= 0:
            raise ValueError(
                "`num_upper` and `num_lower` must be positive. Received: "
                f"num_upper={num_upper}, num_lower={num_lower}"
            )
        if not queries or not set(queries) <= set(QUERIES):
            raise ValueError(f"`queries` must be of {QUERIES}. Received: queries={queries}")
        super().__init__(**kwargs)
        self.num_upper, self.num_lower, self.queries = num_upper, num_lower, tuple(queries)
        self.routes = local_routes(num_lower, self.queries)
        self.selections = np.zeros((len(self.routes), num_lower), bool)
        for row, route in zip(self.selections, self.routes, strict=True):
            row[list(route.lower)] = True
        self._by_input_R = np.array([route.query == "input" for route in self.routes])

    def build(self, input_shape: Any) -> None:
        (_, width), (_, _, units) = input_shape
        upper, lower = self.num_upper, self.num_lower
        # A single lower sub-network needs no gate.
        if lower > 1 and "input" in self.queries:
            self.input_kernel = self.add_weight(
                name="input_kernel",
                shape=(1, width, upper * lower),
                initializer=glorot_uniform(width, lower),
            )
        if lower > 1 and "lower" in self.queries:
            self.lower_kernel = self.add_weight(
                name="lower_kernel",
                shape=(upper, units, lower),
                initializer=glorot_uniform(units, lower),
            )
        count, offered = len(self.routes), min(len(self.routes), len(self.queries))
        self.route = self.add_weight(
            name="route",
            shape=(upper,),
            dtype=tf.int64,
            initializer=keras.initializers.Constant(
                [count - offered + block % offered for block in range(upper)]
            ),
            trainable=False,
        )
        super().build(input_shape)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        _, lower_BIU = inputs
        if self.num_lower == 1:
            return tf.repeat(lower_BIU, self.num_upper, axis=1)
        gates_BOI = self.gates(inputs)
        return tf.matmul(tf.cast(gates_BOI, lower_BIU.dtype), lower_BIU)

    def gates(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """The weights of the lower sub-networks in each block: float32 (B, O, I)."""
        x, lower_BIU = inputs
        if self.num_lower == 1:
            return tf.ones([tf.shape(x)[0], self.num_upper, 1])
        logits = {}
        if "input" in self.queries:
            flat = tf.cast(grouped_product(x, self.input_kernel), tf.float32)
            logits["input"] = tf.reshape(flat, [-1, self.num_upper, self.num_lower])
        if "lower" in self.queries:
            shares_OI = tf.cast(self.shares(), lower_BIU.dtype)
            means_OBU = tf.transpose(tf.matmul(shares_OI, lower_BIU), [1, 0, 2])
            logits_OBI = tf.matmul(means_OBU, self.lower_kernel)
            logits["lower"] = tf.cast(tf.transpose(logits_OBI, [1, 0, 2]), tf.float32)
        if len(logits) == 1:
            (logits_BOI,) = logits.values()
        else:
            by_input_O = tf.gather(self._by_input_R, self.route)
            logits_BOI = tf.where(by_input_O[:, tf.newaxis], logits["input"], logits["lower"])
        return tf.nn.softmax(tf.where(self.selected(), logits_BOI, _CLOSED))

    def selected(self) -> tf.Tensor:
        """Which lower sub-networks each block's route selects: bool (O, I)."""
        return tf.gather(self.selections, self.route)

    def shares(self) -> tf.Tensor:
        """Equal parts of the selected ones: float32 (O, I)."""
        selected_OI = tf.cast(self.selected(), tf.float32)
        return selected_OI / tf.reduce_sum(selected_OI, axis=1, keepdims=True)

    def cost(self, width: int, units: int) -> NetworkCost:
        """For an input of `width` and lower sub-networks of `units`; it need not be built."""
        if self.num_lower == 1:
            return NetworkCost(parameters=0, macs=0)
        connections = self.num_upper * self.num_lower
        by_input = connections * width if "input" in self.queries else 0
        by_lower = connections * units if "lower" in self.queries else 0
        # The means that are queries, and the mixtures.
        sums = connections * units * (2 if by_lower else 1)
        return NetworkCost(parameters=by_input + by_lower, macs=by_input + by_lower + sums)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_upper": self.num_upper,
            "num_lower": self.num_lower,
            "queries": self.queries,
        }


@keras.utils.register_keras_serializable(package="taskroute")
class RoutedBlocks(keras.layers.Layer):
    """The blocks of one layer, each with one route: what is left of `SearchBlocks`.

    Only connections between which a gate decides have weights: a block with one lower sub-network
    is a copy of it.

    Args:
        routes: `(lower, query)` of each block; `lower` are places from 0.
        num_lower: Number of lower sub-networks, I.

    Call arguments:
        inputs: The trunk's input (B, D) and the lower outputs (B, I, U).
        training: Whether to keep account of the gates.

    Returns:
        (B, O, U).

    Raises:
        ValueError: If a route selects nothing, or what is not there.
    """

    def __init__(
        self, routes: Sequence[tuple[Sequence[int], Query]], num_lower: int, **kwargs: Any
    ):
        for lower, _ in routes:
            if not lower or not set(lower) <= set(range(num_lower)):
                raise ValueError(
                    "`routes` must select lower sub-networks. Received: "
                    f"routes={routes}, num_lower={num_lower}"
                )
        super().__init__(**kwargs)
        self.routes = tuple(LocalRoute(tuple(lower), query) for lower, query in routes)
        self.num_upper, self.num_lower = len(self.routes), num_lower
        self._selected_OI = np.zeros((self.num_upper, num_lower), bool)
        for row, route in zip(self._selected_OI, self.routes, strict=True):
            row[list(route.lower)] = True
        # Gated connections: those whose gate reads the input, then those whose gate reads below.
        self._edges = {query: _gated(self.routes, query) for query in QUERIES}

    def build(self, input_shape: Any) -> None:
        (_, width), (_, _, units) = input_shape
        if self._edges["input"]:
            self.input_kernel = self.add_weight(
                name="input_kernel",
                shape=(1, width, len(self._edges["input"])),
                initializer=glorot_uniform(width, self.num_lower),
            )
        if self._edges["lower"]:
            self.lower_kernel = self.add_weight(
                name="lower_kernel",
                shape=(len(self._edges["lower"]), units, 1),
                initializer=glorot_uniform(units, self.num_lower),
            )
        self.usage = self.add_weight(
            name="usage",
            shape=(self.num_upper, self.num_lower),
            initializer=keras.initializers.Constant(self._shares()),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.MEAN,
            experimental_autocast=False,
        )
        super().build(input_shape)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool = False) -> tf.Tensor:
        x, lower_BIU = inputs
        if not any(self._edges.values()):
            return tf.gather(lower_BIU, [route.lower[0] for route in self.routes], axis=1)
        gates_BOI = self._gates(x, lower_BIU)
        if training:
            change = tf.stop_gradient(tf.reduce_mean(gates_BOI, axis=0)) - self.usage
            self.usage.assign_add((1 - _USAGE_MOMENTUM) * change)
        return tf.matmul(tf.cast(gates_BOI, lower_BIU.dtype), lower_BIU)

    def _gates(self, x: tf.Tensor, lower_BIU: tf.Tensor) -> tf.Tensor:
        parts = []
        if self._edges["input"]:
            parts.append(grouped_product(x, self.input_kernel))
        if self._edges["lower"]:
            blocks = sorted({block for block, _ in self._edges["lower"]})
            shares_GI = tf.constant(self._shares()[blocks], lower_BIU.dtype)
            means_GBU = tf.transpose(tf.matmul(shares_GI, lower_BIU), [1, 0, 2])
            places = [blocks.index(block) for block, _ in self._edges["lower"]]
            means_NBU = tf.gather(means_GBU, places)
            parts.append(join_groups(tf.matmul(means_NBU, self.lower_kernel)))
        # The last column is for blocks without a gate: the softmax of one number is 1.
        logits = tf.pad(tf.cast(tf.concat(parts, axis=1), tf.float32), [[0, 0], [0, 1]])
        edges = [*self._edges["input"], *self._edges["lower"]]
        columns_OI = np.full((self.num_upper, self.num_lower), len(edges))
        for column, edge in enumerate(edges):
            columns_OI[edge] = column
        logits_BOI = tf.gather(logits, columns_OI, axis=1)
        return tf.nn.softmax(tf.where(self._selected_OI, logits_BOI, _CLOSED))

    def _shares(self) -> np.ndarray:
        selected_OI = self._selected_OI.astype(np.float32)
        return selected_OI / selected_OI.sum(axis=1, keepdims=True)

    def cost(self, width: int, units: int) -> NetworkCost:
        """For an input of `width` and lower sub-networks of `units`; it need not be built."""
        return _routed_cost(self.routes, self.num_lower, width, units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "routes": [(route.lower, route.query) for route in self.routes],
            "num_lower": self.num_lower,
        }


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
        return _cost(
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
        self.kept, routes = _reachable(self._route)
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
        return _cost(
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


def derived_cost(route: ShareRoute, units: Sequence[int], width: int) -> NetworkCost:
    """What the network of `route` costs, without making it.

    Args:
        route: What is connected.
        units: Width of the sub-networks of each layer, bottom up.
        width: Width of the input.
    """
    kept, routes = _reachable(route)
    sizes = [(len(places), each) for places, each in zip(kept, units, strict=True)]
    blocks = [
        _routed_cost([LocalRoute(*pair) for pair in local], count, width, each)
        for local, (count, each) in zip(routes, sizes, strict=True)
    ]
    return _cost(sizes, blocks, width)


def _cost(
    sizes: Sequence[tuple[int, int]], blocks: Sequence[NetworkCost], width: int
) -> NetworkCost:
    parameters, macs, below = 0, 0, width
    for (count, units), above in zip(sizes, blocks, strict=True):
        parameters += count * (below + 1) * units + above.parameters
        macs += count * below * units + above.macs
        below = units
    return NetworkCost(parameters=parameters, macs=macs)


def _gated(routes: Sequence[LocalRoute], query: Query) -> list[tuple[int, int]]:
    """`(block, lower)` of the connections whose weight a gate with this query decides."""
    return [
        (block, lower)
        for block, route in enumerate(routes)
        if route.query == query and len(route.lower) > 1
        for lower in route.lower
    ]


def _routed_cost(
    routes: Sequence[LocalRoute], num_lower: int, width: int, units: int
) -> NetworkCost:
    by_input, by_lower = (_gated(routes, query) for query in QUERIES)
    if not by_input and not by_lower:
        return NetworkCost(parameters=0, macs=0)
    gates = len(by_input) * width + len(by_lower) * units
    means = len({block for block, _ in by_lower})
    return NetworkCost(parameters=gates, macs=gates + (len(routes) + means) * num_lower * units)


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


def _reachable(
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
