"""Sub-network routing: sparse gates learn the connections between sub-networks.

Reference: Ma, Zhao, Chen, Li, Hong, Chi, "SNR: Sub-Network Routing for Flexible Parameter Sharing
in Multi-Task Learning", AAAI 2019.

Shape letters: B batch, I lower sub-networks, O upper ones or tasks, U units in, V units out.
"""

import abc
import itertools
import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.experts import mix
from taskroute.models.layers.gates import HardConcreteGate
from taskroute.models.layers.noise import Dropout
from taskroute.models.layers.trunk import RoutingMatrix, Trunk, all_part_names, reader_names
from taskroute.models.schedules import add_step_counter, linear_warm_up, next_step
from taskroute.schemas import trunks


class SnrTransConnection(keras.layers.Layer):
    """Gated transformations from every lower to every upper sub-network.

    `v_o = activation(sum_i z_oi W_oi u_i + b_o)` (Ma et al. 2019, p. 218; bias and activation are
    ours, the paper only says ReLU "whenever applicable"). All W_oi are the blocks of one matrix, as
    in the paper's block form; the gates scale the blocks, so that a batch needs one product.

    Args:
        config: Config of the trunk, for its activation and its gates.
        num_lower: Number of lower sub-networks, I, whose outputs lie side by side in the input.
        num_upper: Number of upper sub-networks, O.
        units: Width of each upper sub-network, V.

    Call arguments:
        inputs: float tensor (B, I * U).
        training: Whether gates draw noise.

    Returns:
        (B, O * V).

    Raises:
        ValueError: If a size is not positive, or the input is not divisible by `num_lower`.
    """

    def __init__(
        self,
        config: trunks.SnrTransTrunk,
        num_lower: int,
        num_upper: int,
        units: int,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_lower, self.num_upper, self.units = num_lower, num_upper, units
        self.gate = _make_gate(config, num_upper, num_lower)
        self._activate = keras.activations.get(config.activation)

    def build(self, input_shape: Any) -> None:
        width = int(input_shape[-1])
        if width % self.num_lower:
            raise ValueError(
                f"The input's width must be divisible by `num_lower`. Received: width={width}, "
                f"num_lower={self.num_lower}"
            )
        self.kernel = self.add_weight(
            name="kernel", shape=(width, self.num_upper * self.units), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.num_upper * self.units,), initializer="zeros"
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        coding_OI = tf.cast(self.gate(None, training=training), self.compute_dtype)
        coding_IO = tf.transpose(coding_OI)
        blocks_IUOV = tf.reshape(self.kernel, [self.num_lower, -1, self.num_upper, self.units])
        gated_IUOV = blocks_IUOV * coding_IO[:, tf.newaxis, :, tf.newaxis]
        outputs = tf.matmul(inputs, tf.reshape(gated_IUOV, self.kernel.shape))
        return self._activate(tf.nn.bias_add(outputs, self.bias))

    def macs(self) -> int:
        """Multiply-accumulates of a row, closed connections included, once built."""
        return self.kernel.shape.num_elements()


class SnrAverConnection(keras.layers.Layer):
    """Gated sums: `v_o = sum_i z_oi u_i`, without a transformation (Ma et al. 2019, p. 218).

    The paper calls it an average, but its formula does not divide by the sum of the gates, and
    neither do we.

    Args:
        config: Config of the trunk, for its gates.
        num_lower: Number of lower sub-networks, I, of equal width.
        num_upper: Number of upper sub-networks or tasks, O.

    Call arguments:
        inputs: float tensor (I, B, U).
        training: Whether gates draw noise.

    Returns:
        (O, B, U).

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(self, config: trunks.SnrAverTrunk, num_lower: int, num_upper: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_lower, self.num_upper = num_lower, num_upper
        self.gate = _make_gate(config, num_upper, num_lower)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        coding_OI = tf.cast(self.gate(None, training=training), self.compute_dtype)
        return mix(coding_OI, inputs)


class _Snr(Trunk):
    """Base class of SNR-Trans and SNR-Aver: gates, their penalty and their reports."""

    config: trunks.SnrTransTrunk | trunks.SnrAverTrunk
    connections: list[Any]

    def build(self, input_shape: Any) -> None:
        self.step = add_step_counter(self)
        self.loss_scale = self.add_weight(
            name="loss_scale",
            shape=(),
            initializer="ones",
            trainable=False,
            experimental_autocast=False,
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        outputs = self.features(inputs, training)
        if training:
            weight = self._penalty_weight(next_step(self.step))
            self.add_loss(weight * self.expected_open() / self.num_connections)
        return outputs

    @abc.abstractmethod
    def features(self, inputs: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Output of each task, (B, U), without the penalty."""

    @property
    def num_connections(self) -> int:
        return sum(math.prod(connection.gate.shape) for connection in self.connections)

    def expected_open(self) -> tf.Tensor:
        """Expected number of open connections while training: float32 scalar."""
        return tf.add_n([connection.gate.expected_l0() for connection in self.connections])

    def _penalty_weight(self, step: tf.Tensor) -> tf.Tensor:
        warm_up = linear_warm_up(step, steps=self.config.l0_warmup_steps)
        return self.config.l0_penalty * self.loss_scale * warm_up

    def set_loss_scale(self, loss: float) -> None:
        self.loss_scale.assign(loss)

    def schedule(self) -> dict[str, tf.Tensor]:
        """Weight of the penalty at the next step, and expected share of open connections."""
        return {
            "l0_penalty": self._penalty_weight(self.step),
            "expected_open_share": self.expected_open() / self.num_connections,
        }

    def routing(self) -> tuple[RoutingMatrix, ...]:
        parts = all_part_names([layer.sub_networks for layer in self.config.layers])
        return self._matrices(parts, [connection.gate(None) for connection in self.connections])

    def guarded_tasks(self) -> tuple[str, ...]:
        return self._tasks_where(tf.reduce_any(self.connections[-1].gate.guard(), axis=1))

    @property
    def routing_variables(self) -> list[tf.Variable]:
        return [connection.gate.log_alpha for connection in self.connections]


class SnrTrans(_Snr):
    """SNR with transformations: layers of sub-networks joined by gated matrices.

    As in the paper's Fig. 1, connections from layer to layer and from the last layer to each task
    are routed; those from the input to the first layer are not. All gates open is a shared bottom;
    a diagonal coding matrix is a separate network for each task.

    The penalty (p. 219), added once a step, is lambda times the expected number of open
    connections. Ours: lambda is `l0_penalty` times the loss of predicting base rates (1 until
    `set_loss_scale`), divided by the number of connections, so that its meaning depends neither on
    the tasks nor on the size of the trunk; and it grows linearly from 0 over `l0_warmup_steps`.
    Ours as well: a sub-network or task with all connections closed keeps its strongest one.

    Args:
        config: Config of the sub-networks, the gates and their penalty, activation and dropout.
        task_names: Keys of the result.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether gates draw noise, a step is counted and units are dropped.

    Returns:
        {task: (B, task_width)}.

    Raises:
        ValueError: If there is no task.
    """

    config: trunks.SnrTransTrunk

    def __init__(self, config: trunks.SnrTransTrunk, task_names: Sequence[str], **kwargs: Any):
        super().__init__(config, task_names, **kwargs)
        lower = config.layers[0].sub_networks
        self.first = keras.layers.Dense(
            lower * config.layers[0].units, activation=config.activation, name="layer_1"
        )
        uppers = [(layer.sub_networks, layer.units) for layer in config.layers[1:]]
        uppers.append((len(self.task_names), config.task_width))
        self.connections = []
        for name, (upper, units) in zip(reader_names(len(uppers)), uppers, strict=True):
            self.connections.append(SnrTransConnection(config, lower, upper, units, name=name))
            lower = upper
        self._drop = Dropout(config.dropout)

    def features(self, inputs: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        outputs = self._drop(self.first(inputs), training=training)
        for connection in self.connections:
            outputs = self._drop(connection(outputs, training=training), training=training)
        by_task = [-1, len(self.task_names), self.config.task_width]
        return self._by_task(tf.reshape(outputs, by_task), axis=1)

    @property
    def last_shared_variables(self) -> list[tf.Variable]:
        # Each block of the last connection belongs to one task.
        last = self.connections[-2] if len(self.connections) > 1 else self.first
        return [last.kernel, last.bias]

    def macs(self) -> int:
        first = self.first.kernel.shape.num_elements()
        return first + sum(connection.macs() for connection in self.connections)


class SnrAver(_Snr):
    """SNR with sums: an upper sub-network reads the gated sum of the lower ones.

    As in the paper's Fig. 1(c), each sub-network is a dense layer of its own, the first layer's
    read the input, an upper one reads `sum_i z_oi u_i`, and so does each task's tower. The penalty
    and the guard are those of `SnrTrans`.

    Args:
        config: Config of the sub-networks, the gates and their penalty, activation and dropout.
        task_names: Keys of the result.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether gates draw noise, a step is counted and units are dropped.

    Returns:
        {task: (B, U)}, U the width of the last layer.

    Raises:
        ValueError: If there is no task.
    """

    def __init__(self, config: trunks.SnrAverTrunk, task_names: Sequence[str], **kwargs: Any):
        super().__init__(config, task_names, **kwargs)
        sizes = [(layer.sub_networks, layer.units) for layer in config.layers]
        self.sub_networks = self._dense_rows(sizes, "sub_networks")
        counts = [*(count for count, _ in sizes), len(self.task_names)]
        self.connections = [
            SnrAverConnection(config, lower, upper, name=name)
            for name, (lower, upper) in zip(
                reader_names(len(sizes)), itertools.pairwise(counts), strict=True
            )
        ]

    def features(self, inputs: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        for sub_networks, connection in zip(self.sub_networks, self.connections, strict=True):
            inputs = connection(sub_networks(inputs, training=training), training=training)
        return self._by_task(inputs, axis=0)

    @property
    def last_shared_variables(self) -> list[tf.Variable]:
        return self.sub_networks[-1].last_weights()

    def macs(self) -> int:
        sums = sum(
            connection.num_upper * connection.num_lower * layer.units
            for connection, layer in zip(self.connections, self.config.layers, strict=True)
        )
        return sums + sum(sub_networks.macs() for sub_networks in self.sub_networks)


def _make_gate(
    config: trunks.SnrTransTrunk | trunks.SnrAverTrunk, num_upper: int, num_lower: int
) -> HardConcreteGate:
    gate = HardConcreteGate(
        (num_upper, num_lower),
        temperature=config.temperature,
        stretch=config.stretch,
        log_alpha_start=config.log_alpha_start,
        keep_one=True,
        name="gate",
    )
    gate.build()
    return gate
