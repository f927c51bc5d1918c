"""Progressive layered extraction: experts of each task beside shared experts.

Shape letters: B batch, T tasks, N experts of a task, S shared experts, M = N + S experts of
a task's gate, E = T * N + S experts of a level (the tasks' first), R readers of a level (the
tasks, then the shared part, which the last level lacks), U units.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.experts import Experts
from taskroute.models.layers.gates import SoftmaxGate
from taskroute.models.layers.trunk import RoutingMatrix, Trunk
from taskroute.schemas import trunks


class PleLevel(keras.layers.Layer):
    """One level of PLE: mixtures of the level's experts for each task and for the shared part.

    All experts of the first level read one input; the last level has no shared gate, since no level
    reads it.

    Args:
        config: Config of the trunk: its levels, activation and dropout.
        index: Place of this level, from 0.
        num_tasks: Number of tasks, T.

    Call arguments:
        inputs: float tensor (B, D) at the first level, else (T + 1, B, D): the tasks' inputs, then
            the shared one.
        training: Whether to drop units and update the gates' usage.

    Returns:
        (B, R, units[-1]): R is T at the last level, else T + 1.

    Raises:
        ValueError: If the number of tasks is not positive.
    """

    def __init__(self, config: trunks.PleTrunk, index: int, num_tasks: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.level, self.num_tasks = config.levels[index], num_tasks
        self.first, self.last = index == 0, index == len(config.levels) - 1
        units, shared = self.level.units, self.level.shared_experts
        arguments: dict[str, Any] = {"activation": config.activation, "dropout": config.dropout}
        if self.first:
            self.experts = [Experts(self.num_experts, units, name="experts", **arguments)]
        else:
            self.experts = [
                Experts(
                    num_tasks * self.level.task_experts,
                    units,
                    num_inputs=num_tasks,
                    name="task_experts",
                    **arguments,
                ),
                Experts(shared, units, name="shared_experts", **arguments),
            ]
        self.task_gates = SoftmaxGate(
            num_tasks,
            self.level.task_experts + shared,
            num_inputs=1 if self.first else num_tasks,
            name="task_gates",
        )
        if not self.last:
            self.shared_gate = SoftmaxGate(1, self.num_experts, name="shared_gate")

    @property
    def num_experts(self) -> int:
        return self.num_tasks * self.level.task_experts + self.level.shared_experts

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if self.first:
            own = shared = inputs
            outputs_BEU = self.experts[0](inputs, training=training)
        else:
            # A split, because the gradient of two slices is two tensors full of zeros.
            own, shared = tf.split(inputs, [self.num_tasks, 1], axis=0)
            outputs = [
                experts(part, training=training)
                for experts, part in zip(self.experts, (own, shared), strict=True)
            ]
            outputs_BEU = tf.concat(outputs, axis=1)
        gates_BRE = self._over_all_experts(self.task_gates(own, training=training))
        if not self.last:
            gates_B1E = self.shared_gate(shared, training=training)
            gates_BRE = tf.concat([gates_BRE, gates_B1E], axis=1)
        return tf.matmul(tf.cast(gates_BRE, outputs_BEU.dtype), outputs_BEU)

    def usage(self) -> tf.Tensor:
        """Mean gates over recent training batches, 0 without a connection: (R, E)."""
        usage_RE = self._over_all_experts(self.task_gates.usage[tf.newaxis])[0]
        return usage_RE if self.last else tf.concat([usage_RE, self.shared_gate.usage], axis=0)

    def _over_all_experts(self, gates_BTM: tf.Tensor) -> tf.Tensor:
        """Extends gates to all experts, with 0 for the experts of other tasks: (B, T, E)."""
        tasks, own = self.num_tasks, self.level.task_experts
        gates_BTTN = gates_BTM[:, :, tf.newaxis, :own] * tf.eye(tasks)[:, :, tf.newaxis]
        return tf.concat(
            [tf.reshape(gates_BTTN, [-1, tasks, tasks * own]), gates_BTM[:, :, own:]], axis=2
        )

    def macs(self) -> int:
        """Multiply-accumulates of a row, once built."""
        readers, gates = self.num_tasks, self.task_gates.macs()
        if not self.last:
            readers, gates = readers + 1, gates + self.shared_gate.macs()
        mixing = readers * self.num_experts * self.level.units[-1]
        return sum(experts.macs() for experts in self.experts) + gates + mixing


class Ple(Trunk):
    """PLE: a task's gate mixes its own experts and the shared ones; levels are stacked.

    `g_k(x) = softmax(W_k x) S_k(x)`, S_k the outputs of task k's experts and of the shared ones
    (Tang et al., "Progressive Layered Extraction", RecSys 2020, Eqs. 2-7). Above the first level, a
    task's experts and gate read the task's mixture of the level below, the shared experts and the
    shared gate read the mixture of the shared gate, over all experts of its level. One level is
    CGC. Without `task_experts` there would be one gate a task over common experts, which is MMoE.

    Args:
        config: Config of the levels of experts, their activation and dropout.
        task_names: Keys of the result.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units and update the gates' usage.

    Returns:
        {task: (B, U)}, U the last width.

    Raises:
        ValueError: If there is no task.
    """

    config: trunks.PleTrunk

    def __init__(self, config: trunks.PleTrunk, task_names: Sequence[str], **kwargs: Any):
        super().__init__(config, task_names, **kwargs)
        self.levels = [
            PleLevel(config, index, len(self.task_names), name=f"level_{index + 1}")
            for index in range(len(config.levels))
        ]

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        for level in self.levels[:-1]:
            inputs = tf.transpose(level(inputs, training=training), [1, 0, 2])
        return self._by_task(self.levels[-1](inputs, training=training), axis=1)

    def routing(self) -> tuple[RoutingMatrix, ...]:
        """Mean gates over recent training batches; an upper expert has its reader's row."""
        usages = [level.usage() for level in self.levels]
        num_tasks = len(self.task_names)
        for index, above in enumerate(self.config.levels[1:]):
            rows = [task for task in range(num_tasks) for _ in range(above.task_experts)]
            rows += [num_tasks] * above.shared_experts
            usages[index] = tf.gather(usages[index], rows)
        parts = [self._expert_names(index) for index in range(len(self.levels))]
        return self._matrices(parts, usages, "level")

    def _expert_names(self, index: int) -> tuple[str, ...]:
        level = self.config.levels[index]
        groups = [(task, level.task_experts) for task in self.task_names]
        return tuple(
            f"{index + 1}.{group}.{number}"
            for group, count in [*groups, ("shared", level.shared_experts)]
            for number in range(1, count + 1)
        )

    @property
    def last_shared_variables(self) -> list[tf.Variable]:
        return self.levels[-1].experts[-1].last_weights()

    def macs(self) -> int:
        return sum(level.macs() for level in self.levels)
