"""Gumbel-Matrix routing: a learned binary matrix allocates experts to tasks.

Shape letters: B batch, T tasks, R = T * B rows, C experts, D units in, U units of an expert,
K = C * U columns.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.experts import Experts, mix
from taskroute.models.layers.gates import GumbelMatrixGate
from taskroute.models.layers.trunk import RoutingMatrix, Trunk, part_names
from taskroute.models.schedules import add_step_counter, inverse_square_root, next_step


@keras.utils.register_keras_serializable(package="taskroute")
class RoutedExperts(Experts):
    """Experts that all run on each task's own input, and what each task takes of them.

    Tasks are folded into the batch, so that one product serves all. Experts of one ReLU layer have
    a gradient of their own, equal to TensorFlow's, that needs no pass over each row's features for
    the matrix.

    Args:
        num_experts: Number of experts, C.
        units: Width of each layer within an expert, bottom up.
        activation: Name of the activation after each layer.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: The tasks' inputs, float (T, B, D), and their weights of the experts, (T, C).
        training: Whether to drop units.

    Returns:
        (T, B, units[-1]): each task's weighted sum of its experts.

    Raises:
        ValueError: If a size is not positive.
    """

    def build(self, input_shape: Any) -> None:
        super().build(input_shape[0][1:])

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool = False) -> tf.Tensor:
        inputs_TBD, matrix_TC = inputs
        if len(self.units) == 1 and self.activation == "relu" and not self.dropout:
            kernel_DK = tf.reshape(self.kernels[0], self.kernels[0].shape[1:])
            bias_K = tf.reshape(self.biases[0], [-1])
            return _mix_relu_experts(inputs_TBD, kernel_DK, bias_K, matrix_TC)
        rows = tf.reshape(inputs_TBD, [-1, inputs_TBD.shape[-1]])
        return _mix_rows(matrix_TC, super().call(rows, training=training))


def _mix_rows(matrix_TC: tf.Tensor, features_RCU: tf.Tensor) -> tf.Tensor:
    """(T, B, U): each row's features summed by its task's row of the matrix."""
    tasks, experts = matrix_TC.shape
    batch = tf.shape(features_RCU)[0] // tasks
    matrix_TBC = tf.tile(matrix_TC[:, tf.newaxis], [1, batch, 1])
    outputs_R1U = tf.matmul(tf.reshape(matrix_TBC, [-1, 1, experts]), features_RCU)
    return tf.reshape(outputs_R1U, [tasks, -1, features_RCU.shape[-1]])


@tf.custom_gradient
def _mix_relu_experts(
    inputs_TBD: tf.Tensor, kernel_DK: tf.Tensor, bias_K: tf.Tensor, matrix_TC: tf.Tensor
) -> tuple[tf.Tensor, Any]:
    """(T, B, U): sums of experts `relu(x W_c + b_c)`, each weighted by `matrix_TC[t, c]`."""
    tasks, experts = matrix_TC.shape
    width, columns = kernel_DK.shape
    products_RK = tf.matmul(tf.reshape(inputs_TBD, [-1, width]), kernel_DK)
    features_RK = tf.nn.relu(tf.nn.bias_add(products_RK, bias_K))
    features_RCU = tf.reshape(features_RK, [-1, experts, columns // experts])

    def gradient(signals_TBU: tf.Tensor) -> tuple[tf.Tensor, ...]:
        # A ReLU is its input where it is open, so the sum over rows of signal times feature, which
        # the matrix needs, is the product of each kernel and bias with its own gradient before the
        # matrix scales it. Those are small, while the features are the largest tensor here.
        signals_RK = tf.tile(tf.reshape(signals_TBU, [-1, columns // experts]), [1, experts])
        opened_RK = tf.raw_ops.ReluGrad(gradients=signals_RK, features=features_RK)
        opened_TBK = tf.reshape(opened_RK, [tasks, -1, columns])
        kernel_TDK = tf.matmul(inputs_TBD, opened_TBK, transpose_a=True)
        bias_T1K = tf.matmul(tf.ones_like(opened_TBK[:, :, :1]), opened_TBK, transpose_a=True)
        scale_T1K = tf.repeat(matrix_TC, columns // experts, axis=1)[:, tf.newaxis]
        each_TK = tf.reduce_sum(kernel_TDK * kernel_DK, axis=1) + bias_T1K[:, 0] * bias_K
        return (
            tf.matmul(opened_TBK, kernel_DK * scale_T1K, transpose_b=True),
            tf.reduce_sum(kernel_TDK * scale_T1K, axis=0),
            tf.reduce_sum(bias_T1K * scale_T1K, axis=[0, 1]),
            tf.reduce_sum(tf.reshape(each_TK, [tasks, experts, -1]), axis=2),
        )

    return _mix_rows(matrix_TC, features_RCU), gradient


@keras.utils.register_keras_serializable(package="taskroute")
class GumbelMatrix(Trunk):
    """Gumbel-Matrix: in each layer a task takes the mean of the experts allocated to it.

    Reference: Maziarz, Kokiopoulou, Gesmundo, Sbaiz, Bartok, Berent, "Flexible Multi-task Networks
    by Learning Parameter Allocation" (first "Gumbel-Matrix Routing for Flexible Multi-task
    Learning"), arXiv 1910.04915, and the authors' code; how the matrix is drawn, and what is ours
    in it, is told by `GumbelMatrixGate`. The paper says *component* for expert.

    All tasks read the same input, so an expert of the first layer runs once; above it a task reads
    what it took from below, and every expert runs on every task's input, unused ones too, because
    their gradient tells whether to use them. The temperature falls with training steps as
    `max(temperature_end, temperature_start / sqrt(step + 1))`, a step being a mini-batch; theirs
    counts one for every task in turn, so that there it falls T times sooner.

    A budget adds `budget_penalty * sum_t max(0, mean over all experts of P(on)_t - budget)` to the
    loss once a step.

    Args:
        task_names: The keys of the result.
        layers: `(num_experts, units)` of each layer, bottom up; `units` are the widths within each
            expert.
        start_probability: Probability that a task uses an expert at the start.
        temperature_start: Temperature of the first step.
        temperature_end: Temperature below which it does not fall.
        budget: Share of all experts that a task may use without a penalty; None for no penalty.
        budget_penalty: Its factor.
        activation: Name of the activation after each layer of an expert.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to draw the matrices, count a step and drop units.

    Returns:
        {task: (B, U)}, U the last width.

    Raises:
        ValueError: If a size, a temperature or the penalty is not positive, or a share is outside
            its range.
    """

    def __init__(
        self,
        task_names: Sequence[str],
        *,
        layers: Sequence[tuple[int, Sequence[int]]],
        start_probability: float = 0.5,
        temperature_start: float = 50.0,
        temperature_end: float = 0.5,
        budget: float | None = None,
        budget_penalty: float = 1.0,
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        if not layers:
            raise ValueError(f"`layers` must not be empty. Received: layers={layers}")
        if not 0 < temperature_end <= temperature_start:
            raise ValueError(
                "Temperatures must be positive and not rise. Received: "
                f"temperature_start={temperature_start}, temperature_end={temperature_end}"
            )
        if budget is not None and not 0 < budget <= 1:
            raise ValueError(f"`budget` must be in (0, 1]. Received: budget={budget}")
        if budget_penalty <= 0:
            raise ValueError(
                f"`budget_penalty` must be positive. Received: budget_penalty={budget_penalty}"
            )
        super().__init__(task_names, **kwargs)
        self.layer_sizes = tuple((count, tuple(units)) for count, units in layers)
        self.start_probability = start_probability
        self.temperature_start, self.temperature_end = temperature_start, temperature_end
        self.budget, self.budget_penalty = budget, budget_penalty
        self.activation, self.dropout = activation, dropout
        self.experts, self.gates = [], []
        for index, (count, units) in enumerate(self.layer_sizes, start=1):
            arguments: dict[str, Any] = {
                "activation": activation,
                "dropout": dropout,
                "name": f"experts_{index}",
            }
            self.experts.append(
                Experts(count, units, experts_first=True, **arguments)
                if index == 1
                else RoutedExperts(count, units, **arguments)
            )
            gate = GumbelMatrixGate(
                len(self.task_names),
                count,
                start_probability=start_probability,
                name=f"gate_{index}",
            )
            gate.build()
            self.gates.append(gate)

    def build(self, input_shape: Any) -> None:
        self.step = add_step_counter(self)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        temperature = self._temperature(next_step(self.step)) if training else None
        outputs_TBU = None
        for experts, gate in zip(self.experts, self.gates, strict=True):
            matrix_TC = tf.cast(gate(temperature, training=training), self.compute_dtype)
            if outputs_TBU is None:
                outputs_TBU = mix(matrix_TC, experts(inputs, training=training))
            else:
                outputs_TBU = experts((outputs_TBU, matrix_TC), training=training)
        if training and self.budget is not None:
            used_T = tf.reduce_mean(self.probabilities(), axis=1)
            excess = tf.reduce_sum(tf.nn.relu(used_T - self.budget))
            self.add_loss(self.budget_penalty * excess)
        return self._by_task(outputs_TBU, axis=0)

    def probabilities(self) -> tf.Tensor:
        """P(on) of all layers' experts side by side: float32 (T, total of C)."""
        return tf.concat([gate.probabilities() for gate in self.gates], axis=1)

    def _temperature(self, step: tf.Tensor) -> tf.Tensor:
        return inverse_square_root(step, start=self.temperature_start, end=self.temperature_end)

    def schedule(self) -> dict[str, tf.Tensor]:
        """The temperature of the next step, and how far the matrix is decided."""
        confidence = tf.reduce_mean(tf.abs(2 * self.probabilities() - 1))
        return {"temperature": self._temperature(self.step), "confidence": confidence}

    def routing(self) -> tuple[RoutingMatrix, ...]:
        """For each layer, the weight of each expert in a task's mean at inference."""
        return tuple(
            RoutingMatrix(
                f"layer_{index}", self.task_names, part_names(index, gate.num_experts), gate(None)
            )
            for index, gate in enumerate(self.gates, start=1)
        )

    def guarded_tasks(self) -> tuple[str, ...]:
        kept = tf.reduce_any(tf.concat([gate.kept() for gate in self.gates], axis=1), axis=1)
        return tuple(task for task, is_kept in zip(self.task_names, kept, strict=True) if is_kept)

    @property
    def routing_variables(self) -> list[tf.Variable]:
        return [gate.logits for gate in self.gates]

    def macs(self) -> int:
        tasks = len(self.task_names)
        total = 0
        for index, (experts, gate) in enumerate(zip(self.experts, self.gates, strict=True)):
            inputs = 1 if index == 0 else tasks
            total += inputs * experts.macs() + tasks * gate.num_experts * experts.units[-1]
        return total

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layers": self.layer_sizes,
            "start_probability": self.start_probability,
            "temperature_start": self.temperature_start,
            "temperature_end": self.temperature_end,
            "budget": self.budget,
            "budget_penalty": self.budget_penalty,
            "activation": self.activation,
            "dropout": self.dropout,
        }
