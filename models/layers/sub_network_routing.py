"""Sub-network routing: which sub-networks feed which is learned by sparse gates.

Reference: Ma, Zhao, Chen, Li, Hong, Chi, "SNR: Sub-Network Routing for Flexible Parameter Sharing
in Multi-Task Learning", AAAI 2019.

Shape letters: B batch, I lower sub-networks, O upper sub-networks, U units in, V units out.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.gates import HardConcreteGate
from taskroute.models.layers.trunk import RoutingMatrix, Trunk


@keras.utils.register_keras_serializable(package="taskroute")
class SnrTransConnection(keras.layers.Layer):
    """Gated transformations from every lower to every upper sub-network.

    `v_o = activation(sum_i z_oi W_oi u_i + b_o)` (Ma et al. 2019, p. 218; bias and activation are
    ours, the paper only says ReLU "whenever applicable"). All W_oi are the blocks of one matrix, as
    in the paper's block form; the gates scale the blocks, so that the batch meets one product.

    Args:
        num_upper: Number of upper sub-networks, O.
        units: Width of each, V.
        num_lower: Number of lower sub-networks, I, whose outputs lie side by side in the input.
        keep_one: Whether an upper sub-network whose every gate is closed keeps its strongest
            connection, fully open. Ours: it prevents a task from losing all its input.
        gate: Arguments of `HardConcreteGate`.

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
        num_upper: int,
        units: int,
        *,
        num_lower: int,
        keep_one: bool = False,
        gate: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        if min(num_upper, units, num_lower) <= 0:
            raise ValueError(
                "`num_upper`, `units` and `num_lower` must be positive. Received: "
                f"num_upper={num_upper}, units={units}, num_lower={num_lower}"
            )
        super().__init__(**kwargs)
        self.num_upper, self.units, self.num_lower = num_upper, units, num_lower
        self.keep_one = keep_one
        self.gate_arguments = dict(gate or {})
        self.gate = HardConcreteGate((num_upper, num_lower), name="gate", **self.gate_arguments)
        self.gate.build()

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

    def coding_matrix(self, training: bool = False) -> tf.Tensor:
        """The gates z, float32 (O, I)."""
        coding_OI = self.gate(None, training=training)
        if not self.keep_one:
            return coding_OI
        closed_O1 = tf.reduce_all(self.gate(None) <= 0, axis=1, keepdims=True)
        strongest_OI = tf.one_hot(tf.argmax(self.gate.log_alpha, axis=1), self.num_lower)
        return tf.where(closed_O1 & (strongest_OI > 0), 1.0, coding_OI)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        coding_IO = tf.transpose(tf.cast(self.coding_matrix(training), self.compute_dtype))
        blocks_IUOV = tf.reshape(self.kernel, [self.num_lower, -1, self.num_upper, self.units])
        gated_IUOV = blocks_IUOV * coding_IO[:, tf.newaxis, :, tf.newaxis]
        outputs = tf.matmul(inputs, tf.reshape(gated_IUOV, tf.shape(self.kernel))) + self.bias
        return tf.nn.relu(outputs)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_upper": self.num_upper,
            "units": self.units,
            "num_lower": self.num_lower,
            "keep_one": self.keep_one,
            "gate": self.gate_arguments,
        }


@keras.utils.register_keras_serializable(package="taskroute")
class SnrTrans(Trunk):
    """SNR with transformations: layers of sub-networks joined by gated matrices.

    As in the paper's Fig. 1, the way from the input to the first layer is not routed; those from
    layer to layer and from the last layer to each task are. Adds `l0_penalty` times the expected
    number of open connections to the loss (p. 219), once a step. All gates open is a shared bottom;
    a diagonal coding is a separate network for each task.

    Args:
        task_names: The keys of the result.
        layers: `(sub_networks, units)` of each layer, bottom up.
        task_units: Width of what each task receives.
        l0_penalty: Lambda, beside a loss that is a mean over examples; the paper tries 1e-3 to
            1e-5.
        gate: Arguments of `HardConcreteGate`.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether gates draw noise and units are dropped.

    Returns:
        {task: (B, task_units)}.

    Raises:
        ValueError: If a size is not positive, or `l0_penalty` is negative.
    """

    def __init__(
        self,
        task_names: Sequence[str],
        *,
        layers: Sequence[tuple[int, int]],
        task_units: int,
        l0_penalty: float = 1e-4,
        gate: dict[str, Any] | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        if not layers or any(min(layer) <= 0 for layer in layers):
            raise ValueError(f"`layers` must hold positive sizes. Received: layers={layers}")
        if l0_penalty < 0:
            raise ValueError(f"`l0_penalty` must be >= 0. Received: l0_penalty={l0_penalty}")
        super().__init__(task_names, **kwargs)
        self.layer_sizes = tuple((int(count), int(units)) for count, units in layers)
        self.task_units, self.l0_penalty = task_units, l0_penalty
        self.gate_arguments, self.dropout = dict(gate or {}), dropout
        count, units = self.layer_sizes[0]
        self.first = keras.layers.Dense(count * units, activation="relu", name="layer_1")
        self.connections = []
        for index, (upper, units) in enumerate(self.layer_sizes[1:], start=2):
            self.connections.append(self._connection(upper, units, count, name=f"layer_{index}"))
            count = upper
        tasks = len(self.task_names)
        self.connections.append(
            self._connection(tasks, task_units, count, name="tasks", keep_one=True)
        )
        self._drop = keras.layers.Dropout(dropout)

    def _connection(
        self, upper: int, units: int, lower: int, *, name: str, keep_one: bool = False
    ) -> SnrTransConnection:
        return SnrTransConnection(
            upper, units, num_lower=lower, keep_one=keep_one, gate=self.gate_arguments, name=name
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        outputs = self._drop(self.first(inputs), training=training)
        for connection in self.connections:
            outputs = self._drop(connection(outputs, training=training), training=training)
        if training:
            open_connections = tf.add_n([c.gate.expected_l0() for c in self.connections])
            self.add_loss(self.l0_penalty * open_connections)
        by_task = tf.split(outputs, len(self.task_names), axis=1)
        return dict(zip(self.task_names, by_task, strict=True))

    def routing(self) -> tuple[RoutingMatrix, ...]:
        matrices = []
        lower = _sub_network_names(1, self.layer_sizes[0][0])
        for index, connection in enumerate(self.connections, start=2):
            last = connection is self.connections[-1]
            upper = self.task_names if last else _sub_network_names(index, connection.num_upper)
            coding = connection.coding_matrix()
            matrices.append(RoutingMatrix(connection.name, upper, lower, coding))
            lower = upper
        return tuple(matrices)

    @property
    def routing_variables(self) -> list[tf.Variable]:
        return [connection.gate.log_alpha for connection in self.connections]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layers": self.layer_sizes,
            "task_units": self.task_units,
            "l0_penalty": self.l0_penalty,
            "gate": self.gate_arguments,
            "dropout": self.dropout,
        }


def _sub_network_names(layer: int, count: int) -> tuple[str, ...]:
    return tuple(f"{layer}.{index}" for index in range(1, count + 1))
