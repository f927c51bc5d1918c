"""Blocks of an MTNAS layer, with a choice of routes and with one fixed route each.

`mtnas` describes the method. Shape letters: B batch, D width of the trunk's input, I lower
sub-networks, O upper blocks, R routes of a block, U units, G groups of means, N gated connections.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.experts import glorot_uniform, grouped_product, join_groups
from taskroute.models.layers.gates import add_usage, count_usage
from taskroute.models.layers.mtnas_routes import (
    QUERIES,
    LocalRoute,
    gated,
    local_routes,
    routed_cost,
    selections,
)
from taskroute.schemas.routes import NetworkCost, Query

_CLOSED = -1e9


class SearchBlocks(keras.layers.Layer):
    """Search blocks of one layer: each mixes the lower sub-networks that its route selects.

    `v_o = sum_{j in S_o} softmax_{j in S_o}(W_o q_o)_j u_j`, where the query q_o is the trunk's
    input or the mean of the selected u_j. A single selected one has weight 1. All blocks are
    computed in one product a query, with the routes as masks, so that setting other routes costs
    nothing and traces nothing.

    Args:
        num_upper: Number of blocks, O.
        num_lower: Number of lower sub-networks, I.
        queries: Queries to choose from.

    Call arguments:
        inputs: Trunk input (B, D) and lower outputs (B, I, U).
        training: Ignored.

    Returns:
        (B, O, U).

    Attributes:
        routes: Routes that a block can have.
        selections: Mask of the lower sub-networks that each of `routes` selects: bool (R, I).
        route: Index of each block's route, int64 (O,), not trained. At the start every block
            selects all, and the queries alternate.

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
        self.selections = selections(self.routes, num_lower)
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

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool = False) -> tf.Tensor:
        del training
        _, lower_BIU = inputs
        if self.num_lower == 1:
            return tf.repeat(lower_BIU, self.num_upper, axis=1)
        gates_BOI = self.gates(inputs)
        return tf.matmul(tf.cast(gates_BOI, lower_BIU.dtype), lower_BIU)

    def gates(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Weights of the lower sub-networks in each block: float32 (B, O, I)."""
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
        """Mask of the lower sub-networks that each block's route selects: bool (O, I)."""
        return tf.gather(self.selections, self.route)

    def shares(self) -> tf.Tensor:
        """Equal shares of the selected sub-networks: float32 (O, I)."""
        selected_OI = tf.cast(self.selected(), tf.float32)
        return selected_OI / tf.reduce_sum(selected_OI, axis=1, keepdims=True)

    def cost(self, width: int, units: int) -> NetworkCost:
        """Cost for an input of `width` and lower sub-networks of `units`, also before building."""
        if self.num_lower == 1:
            return NetworkCost(parameters=0, macs=0)
        connections = self.num_upper * self.num_lower
        by_input = connections * width if "input" in self.queries else 0
        by_lower = connections * units if "lower" in self.queries else 0
        # Means for queries, and mixtures.
        sums = connections * units * (2 if by_lower else 1)
        return NetworkCost(parameters=by_input + by_lower, macs=by_input + by_lower + sums)


class RoutedBlocks(keras.layers.Layer):
    """Blocks of one layer, each with one fixed route, derived from `SearchBlocks`.

    Only gated connections have weights: a block with one lower sub-network copies it.

    Args:
        routes: Routes `(lower, query)` of the blocks; `lower` are places from 0.
        num_lower: Number of lower sub-networks, I.

    Call arguments:
        inputs: Trunk input (B, D) and lower outputs (B, I, U).
        training: Whether to update the gates' usage.

    Returns:
        (B, O, U).

    Raises:
        ValueError: If a route selects nothing, or a place out of range.
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
        self._selected_OI = selections(self.routes, num_lower)
        # Gated connections by their gate's query.
        self._edges = {query: gated(self.routes, query) for query in QUERIES}

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
        self.usage = add_usage(self, self._shares())
        super().build(input_shape)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool = False) -> tf.Tensor:
        x, lower_BIU = inputs
        if not any(self._edges.values()):
            return tf.gather(lower_BIU, [route.lower[0] for route in self.routes], axis=1)
        gates_BOI = self._gates(x, lower_BIU)
        if training:
            count_usage(self.usage, gates_BOI)
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
        """Cost for an input of `width` and lower sub-networks of `units`, also before building."""
        return routed_cost(self.routes, self.num_lower, width, units)
