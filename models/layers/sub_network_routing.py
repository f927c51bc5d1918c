"""Sub-network routing: which sub-networks feed which is learned by sparse gates.

Reference: Ma, Zhao, Chen, Li, Hong, Chi, "SNR: Sub-Network Routing for Flexible Parameter Sharing
in Multi-Task Learning", AAAI 2019.

Shape letters: B batch, I lower sub-networks, O upper ones or tasks, U units in, V units out.
"""

import abc
import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.experts import Experts, mix
from taskroute.models.layers.gates import HardConcreteGate
from taskroute.models.layers.noise import Dropout
from taskroute.models.layers.trunk import RoutingMatrix, Trunk, part_names
from taskroute.models.schedules import add_step_counter, linear_warm_up, next_step


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
        gate: Arguments of `HardConcreteGate`.
        activation: Name of the activation.

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
        gate: dict[str, Any] | None = None,
        activation: str = "relu",
        **kwargs: Any,
    ):
        if min(num_upper, units, num_lower) <= 0:
            raise ValueError(
                "`num_upper`, `units` and `num_lower` must be positive. Received: "
                f"num_upper={num_upper}, units={units}, num_lower={num_lower}"
            )
        super().__init__(**kwargs)
        self.num_upper, self.units, self.num_lower = num_upper, units, num_lower
        self.gate_arguments, self.activation = dict(gate or {}), activation
        self.gate = _make_gate(num_upper, num_lower, self.gate_arguments)
        self._activate = keras.activations.get(activation)

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

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_upper": self.num_upper,
            "units": self.units,
            "num_lower": self.num_lower,
            "gate": self.gate_arguments,
            "activation": self.activation,
        }


@keras.utils.register_keras_serializable(package="taskroute")
class SnrAverConnection(keras.layers.Layer):
    """Gated sums: `v_o = sum_i z_oi u_i`, without a transformation (Ma et al. 2019, p. 218).

    The paper calls it an average, but its formula does not divide by the sum of the gates, and
    neither do we.

    Args:
        num_upper: Number of upper sub-networks or tasks, O.
        num_lower: Number of lower sub-networks, I, of equal width.
        gate: Arguments of `HardConcreteGate`.

    Call arguments:
        inputs: float tensor (I, B, U).
        training: Whether gates draw noise.

    Returns:
        (O, B, U).

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(
        self, num_upper: int, *, num_lower: int, gate: dict[str, Any] | None = None, **kwargs: Any
    ):
        if min(num_upper, num_lower) <= 0:
            raise ValueError(
                "`num_upper` and `num_lower` must be positive. Received: "
                f"num_upper={num_upper}, num_lower={num_lower}"
            )
        super().__init__(**kwargs)
        self.num_upper, self.num_lower = num_upper, num_lower
        self.gate_arguments = dict(gate or {})
        self.gate = _make_gate(num_upper, num_lower, self.gate_arguments)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        coding_OI = tf.cast(self.gate(None, training=training), self.compute_dtype)
        return mix(coding_OI, inputs)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_upper": self.num_upper,
            "num_lower": self.num_lower,
            "gate": self.gate_arguments,
        }


class _Snr(Trunk):
    """What SNR-Trans and SNR-Aver have in common: gates, their penalty, and what they report."""

    connections: list[Any]

    def __init__(
        self,
        task_names: Sequence[str],
        layers: Sequence[tuple[int, int]],
        l0_penalty: float,
        l0_warmup_steps: int,
        gate: dict[str, Any] | None,
        activation: str,
        dropout: float,
        **kwargs: Any,
    ):
        if not layers or any(min(layer) <= 0 for layer in layers):
            raise ValueError(f"`layers` must hold positive sizes. Received: layers={layers}")
        if min(l0_penalty, l0_warmup_steps) < 0:
            raise ValueError(
                "`l0_penalty` and `l0_warmup_steps` must be >= 0. Received: "
                f"l0_penalty={l0_penalty}, l0_warmup_steps={l0_warmup_steps}"
            )
        super().__init__(task_names, **kwargs)
        self.layer_sizes = tuple((int(count), int(units)) for count, units in layers)
        self.l0_penalty, self.l0_warmup_steps = l0_penalty, l0_warmup_steps
        self.gate_arguments = dict(gate or {})
        self.activation, self.dropout = activation, dropout

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
        """What each task receives."""

    @property
    def num_connections(self) -> int:
        return sum(math.prod(connection.gate.shape) for connection in self.connections)

    def expected_open(self) -> tf.Tensor:
        """Expected number of open connections while training: float32 scalar."""
        return tf.add_n([connection.gate.expected_l0() for connection in self.connections])

    def _penalty_weight(self, step: tf.Tensor) -> tf.Tensor:
        warm_up = linear_warm_up(step, steps=self.l0_warmup_steps)
        return self.l0_penalty * self.loss_scale * warm_up

    def set_loss_scale(self, loss: float) -> None:
        self.loss_scale.assign(loss)

    def schedule(self) -> dict[str, tf.Tensor]:
        """The penalty's weight at the next step, and the expected share of open connections."""
        return {
            "l0_penalty": self._penalty_weight(self.step),
            "expected_open_share": self.expected_open() / self.num_connections,
        }

    def routing(self) -> tuple[RoutingMatrix, ...]:
        matrices = []
        lower = part_names(1, self.layer_sizes[0][0])
        for index, connection in enumerate(self.connections, start=2):
            last = connection is self.connections[-1]
            upper = self.task_names if last else part_names(index, connection.num_upper)
            coding = connection.gate(None)
            matrices.append(RoutingMatrix(connection.name, upper, lower, coding))
            lower = upper
        return tuple(matrices)

    def guarded_tasks(self) -> tuple[str, ...]:
        kept = tf.reduce_any(self.connections[-1].gate.kept(), axis=1)
        return tuple(task for task, is_kept in zip(self.task_names, kept, strict=True) if is_kept)

    @property
    def routing_variables(self) -> list[tf.Variable]:
        return [connection.gate.log_alpha for connection in self.connections]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layers": self.layer_sizes,
            "l0_penalty": self.l0_penalty,
            "l0_warmup_steps": self.l0_warmup_steps,
            "gate": self.gate_arguments,
            "activation": self.activation,
            "dropout": self.dropout,
        }


@keras.utils.register_keras_serializable(package="taskroute")
class SnrTrans(_Snr):
    """SNR with transformations: layers of sub-networks joined by gated matrices.

    As in the paper's Fig. 1, the way from the input to the first layer is not routed; those from
    layer to layer and from the last layer to each task are. All gates open is a shared bottom; a
    diagonal coding is a separate network for each task.

    The penalty (p. 219), added once a step, is lambda times the expected number of open
    connections. Ours: lambda is `l0_penalty` times the loss of predicting base rates (1 until
    `set_loss_scale`), divided by the number of connections, so that its meaning depends neither on
    the tasks nor on the size of the trunk; and it grows linearly from 0 over `l0_warmup_steps`.
    Ours as well: a sub-network or task whose every connection closed keeps its strongest.

    Args:
        task_names: The keys of the result.
        layers: `(sub_networks, units)` of each layer, bottom up.
        task_units: Width of what each task receives.
        l0_penalty: Cost of all connections being open, in multiples of the loss scale.
        l0_warmup_steps: Training steps until the penalty has its full weight.
        gate: Arguments of `HardConcreteGate`.
        activation: Name of the activation after each layer.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether gates draw noise, a step is counted and units are dropped.

    Returns:
        {task: (B, task_units)}.

    Raises:
        ValueError: If a size is not positive, or the penalty or its steps are negative.
    """

    def __init__(
        self,
        task_names: Sequence[str],
        *,
        layers: Sequence[tuple[int, int]],
        task_units: int,
        l0_penalty: float = 0.5,
        l0_warmup_steps: int = 100,
        gate: dict[str, Any] | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(
            task_names, layers, l0_penalty, l0_warmup_steps, gate, activation, dropout, **kwargs
        )
        self.task_units = task_units
        count, units = self.layer_sizes[0]
        self.first = keras.layers.Dense(count * units, activation=activation, name="layer_1")
        uppers = [*self.layer_sizes[1:], (len(self.task_names), task_units)]
        self.connections = []
        for index, (upper, units) in enumerate(uppers, start=2):
            self.connections.append(
                SnrTransConnection(
                    upper,
                    units,
                    num_lower=count,
                    gate=self.gate_arguments,
                    activation=activation,
                    name="tasks" if index == len(uppers) + 1 else f"layer_{index}",
                )
            )
            count = upper
        self._drop = Dropout(dropout)

    def features(self, inputs: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        outputs = self._drop(self.first(inputs), training=training)
        for connection in self.connections:
            outputs = self._drop(connection(outputs, training=training), training=training)
        return self._by_task(
            tf.reshape(outputs, [-1, len(self.task_names), self.task_units]), axis=1
        )

    @property
    def last_shared_variables(self) -> list[tf.Variable]:
        # The blocks of the last connection are of one task each.
        last = self.connections[-2] if len(self.connections) > 1 else self.first
        return [last.kernel, last.bias]

    def macs(self) -> int:
        first = self.first.kernel.shape.num_elements()
        return first + sum(connection.macs() for connection in self.connections)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "task_units": self.task_units}


@keras.utils.register_keras_serializable(package="taskroute")
class SnrAver(_Snr):
    """SNR with sums: an upper sub-network reads the gated sum of the lower ones.

    As in the paper's Fig. 1(c), each sub-network is a dense layer of its own, the first layer's
    read the input, an upper one reads `sum_i z_oi u_i`, and so does each task's tower. The penalty
    and the guard are those of `SnrTrans`.

    Args:
        task_names: The keys of the result.
        layers: `(sub_networks, units)` of each layer, bottom up.
        l0_penalty: Cost of all connections being open, in multiples of the loss scale.
        l0_warmup_steps: Training steps until the penalty has its full weight.
        gate: Arguments of `HardConcreteGate`.
        activation: Name of the activation after each layer.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether gates draw noise, a step is counted and units are dropped.

    Returns:
        {task: (B, U)}, U the width of the last layer.

    Raises:
        ValueError: If a size is not positive, or the penalty or its steps are negative.
    """

    def __init__(
        self,
        task_names: Sequence[str],
        *,
        layers: Sequence[tuple[int, int]],
        l0_penalty: float = 0.5,
        l0_warmup_steps: int = 100,
        gate: dict[str, Any] | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(
            task_names, layers, l0_penalty, l0_warmup_steps, gate, activation, dropout, **kwargs
        )
        self.sub_networks = [
            Experts(
                count,
                (units,),
                num_inputs=1 if index == 1 else count,
                experts_first=True,
                activation=activation,
                dropout=dropout,
                name=f"sub_networks_{index}",
            )
            for index, (count, units) in enumerate(self.layer_sizes, start=1)
        ]
        counts = [count for count, _ in self.layer_sizes]
        self.connections = []
        for index, lower in enumerate(counts, start=2):
            last = index == len(counts) + 1
            self.connections.append(
                SnrAverConnection(
                    len(self.task_names) if last else counts[index - 1],
                    num_lower=lower,
                    gate=self.gate_arguments,
                    name="tasks" if last else f"layer_{index}",
                )
            )

    def features(self, inputs: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        for sub_networks, connection in zip(self.sub_networks, self.connections, strict=True):
            inputs = connection(sub_networks(inputs, training=training), training=training)
        return self._by_task(inputs, axis=0)

    @property
    def last_shared_variables(self) -> list[tf.Variable]:
        return self.sub_networks[-1].last_weights()

    def macs(self) -> int:
        sums = sum(
            connection.num_upper * connection.num_lower * units
            for connection, (_, units) in zip(self.connections, self.layer_sizes, strict=True)
        )
        return sums + sum(sub_networks.macs() for sub_networks in self.sub_networks)


def _make_gate(num_upper: int, num_lower: int, arguments: dict[str, Any]) -> HardConcreteGate:
    gate = HardConcreteGate((num_upper, num_lower), keep_one=True, name="gate", **arguments)
    gate.build()
    return gate
