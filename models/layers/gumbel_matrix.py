"""Gumbel-Matrix routing: a learned binary matrix allocates experts to tasks.

Shape letters: B batch, T tasks, R = T * B rows, C experts, D units in, U units of an expert,
K = C * U columns.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from taskroute.models.layers.experts import Experts, mix
from taskroute.models.layers.gates import GumbelMatrixGate
from taskroute.models.layers.trunk import RoutingMatrix, Trunk, part_names
from taskroute.models.schedules import add_step_counter, inverse_square_root, next_step
from taskroute.schemas import trunks


class RoutedExperts(Experts):
    """Experts that run on each task's own input, and their weighted sum for each task.

    Tasks are folded into the batch, so that one product serves all. Experts of one ReLU layer have
    a custom gradient, equal to TensorFlow's, that needs no pass over each row's features for the
    matrix.

    Args:
        num_experts: Number of experts, C.
        units: Width of each layer within an expert, bottom up.
        activation: Name of the activation after each layer.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: Inputs of the tasks, float (T, B, D), and weights of the experts, (T, C).
        training: Whether to drop units.

    Returns:
        (T, B, units[-1]): weighted sum of each task's experts.

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
    """Sums each row's features with its task's row of the matrix: (T, B, U)."""
    tasks, experts = matrix_TC.shape
    batch = tf.shape(features_RCU)[0] // tasks
    matrix_TBC = tf.tile(matrix_TC[:, tf.newaxis], [1, batch, 1])
    outputs_R1U = tf.matmul(tf.reshape(matrix_TBC, [-1, 1, experts]), features_RCU)
    return tf.reshape(outputs_R1U, [tasks, -1, features_RCU.shape[-1]])


@tf.custom_gradient
def _mix_relu_experts(
    inputs_TBD: tf.Tensor, kernel_DK: tf.Tensor, bias_K: tf.Tensor, matrix_TC: tf.Tensor
) -> tuple[tf.Tensor, Any]:
    """Sums experts `relu(x W_c + b_c)`, each weighted by `matrix_TC[t, c]`: (T, B, U)."""
    tasks, experts = matrix_TC.shape
    width, columns = kernel_DK.shape
    products_RK = tf.matmul(tf.reshape(inputs_TBD, [-1, width]), kernel_DK)
    features_RK = tf.nn.relu(tf.nn.bias_add(products_RK, bias_K))
    features_RCU = tf.reshape(features_RK, [-1, experts, columns // experts])

    def gradient(signals_TBU: tf.Tensor) -> tuple[tf.Tensor, ...]:
        # A ReLU is its input where it is open, so the matrix's gradient, the sum over rows of
        # signal times feature, equals the product of each kernel and bias with its own gradient
        # before the matrix scales it. These are small; the features are the largest tensor here.
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


class GumbelMatrix(Trunk):
    """Gumbel-Matrix: in each layer a task takes the mean of the experts allocated to it.

    Reference: Maziarz, Kokiopoulou, Gesmundo, Sbaiz, Bartok, Berent, "Flexible Multi-task Networks
    by Learning Parameter Allocation" (first "Gumbel-Matrix Routing for Flexible Multi-task
    Learning"), arXiv 1910.04915, and the authors' code; `GumbelMatrixGate` explains the draw of the
    matrix and what is ours in it. The paper says *component* for expert.

    All tasks read the same input, so an expert of the first layer runs once; above it a task reads
    its own mean from the layer below, and every expert runs on every task's input, unused ones too,
    because their gradient decides whether to use them. The temperature falls with training steps as
    `max(temperature_end, temperature_start / sqrt(step + 1))`, a step being a mini-batch; the paper
    counts a step for every task in turn, so that it falls T times sooner.

    A budget adds `budget_penalty * sum_t max(0, mean over all experts of P(on)_t - budget)` to the
    loss once a step.

    Args:
        config: Config of the layers of experts, activation and dropout, the matrix, its temperature
            and the budget.
        task_names: Keys of the result.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to draw the matrices, count a step and drop units.

    Returns:
        {task: (B, U)}, U the last width.

    Raises:
        ValueError: If there is no task.
    """

    config: trunks.GumbelMatrixTrunk

    def __init__(self, config: trunks.GumbelMatrixTrunk, task_names: Sequence[str], **kwargs: Any):
        super().__init__(config, task_names, **kwargs)
        self.experts, self.gates = [], []
        for index, layer in enumerate(config.layers, start=1):
            arguments: dict[str, Any] = {
                "activation": config.activation,
                "dropout": config.dropout,
                "name": f"experts_{index}",
            }
            self.experts.append(
                Experts(layer.experts, layer.units, experts_first=True, **arguments)
                if index == 1
                else RoutedExperts(layer.experts, layer.units, **arguments)
            )
            gate = GumbelMatrixGate(
                len(self.task_names),
                layer.experts,
                start_probability=config.start_probability,
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
        if training and self.config.budget is not None:
            used_T = tf.reduce_mean(self.probabilities(), axis=1)
            excess = tf.reduce_sum(tf.nn.relu(used_T - self.config.budget))
            self.add_loss(self.config.budget_penalty * excess)
        return self._by_task(outputs_TBU, axis=0)

    def probabilities(self) -> tf.Tensor:
        """Probabilities P(on) of all layers' experts side by side: float32 (T, total of C)."""
        return tf.concat([gate.probabilities() for gate in self.gates], axis=1)

    def _temperature(self, step: tf.Tensor) -> tf.Tensor:
        start, end = self.config.temperature_start, self.config.temperature_end
        return inverse_square_root(step, start=start, end=end)

    def schedule(self) -> dict[str, tf.Tensor]:
        """Temperature of the next step, and confidence of the matrix."""
        confidence = tf.reduce_mean(tf.abs(2 * self.probabilities() - 1))
        return {"temperature": self._temperature(self.step), "confidence": confidence}

    def routing(self) -> tuple[RoutingMatrix, ...]:
        """Weights of each layer's experts in a task's mean at inference."""
        return tuple(
            RoutingMatrix(
                f"layer_{index}", self.task_names, part_names(index, gate.num_experts), gate(None)
            )
            for index, gate in enumerate(self.gates, start=1)
        )

    def guarded_tasks(self) -> tuple[str, ...]:
        guard_TC = tf.concat([gate.guard() for gate in self.gates], axis=1)
        return self._tasks_where(tf.reduce_any(guard_TC, axis=1))

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
