"""Progressive layered extraction: experts of each task beside experts of all.

Shape letters: B batch, T tasks, N experts of a task, S shared experts, M = N + S experts that a
task sees, E = T * N + S experts of a level (the tasks' first), R readers of a level (the tasks,
then the shared part, which the last level has not), U units.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.experts import Experts
from taskroute.models.layers.gates import SoftmaxGate
from taskroute.models.layers.trunk import RoutingMatrix, Trunk


@keras.utils.register_keras_serializable(package="taskroute")
class PleLevel(keras.layers.Layer):
    """One level of PLE: what each task, and the shared part, take from the level's experts.

    Args:
        num_tasks: Number of tasks, T.
        task_experts: Experts of each task, N.
        shared_experts: Experts of all, S.
        units: Width of each layer within an expert, bottom up.
        first: Whether all read one input.
        last: Whether there is no shared gate, since no level above reads it.
        activation: Name of the activation after each layer of an expert.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: float tensor (B, D) at the first level, else (T + 1, B, D): the tasks' inputs, then
            the shared one.
        training: Whether to drop units and keep account of the gates.

    Returns:
        (B, R, units[-1]): R is T at the last level, else T + 1.

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(
        self,
        num_tasks: int,
        task_experts: int,
        shared_experts: int,
        units: Sequence[int],
        *,
        first: bool,
        last: bool,
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        if min(num_tasks, task_experts, shared_experts) <= 0:
            raise ValueError(
                "`num_tasks`, `task_experts` and `shared_experts` must be positive. Received: "
                f"num_tasks={num_tasks}, task_experts={task_experts}, "
                f"shared_experts={shared_experts}"
            )
        super().__init__(**kwargs)
        self.num_tasks, self.units = num_tasks, tuple(units)
        self.num_task_experts, self.num_shared_experts = task_experts, shared_experts
        self.first, self.last = first, last
        self.activation, self.dropout = activation, dropout
        num_inputs = 1 if first else num_tasks
        experts: dict[str, Any] = {"activation": activation, "dropout": dropout}
        if first:
            self.experts = [Experts(self.num_experts, units, name="experts", **experts)]
        else:
            own = num_tasks * task_experts
            self.experts = [
                Experts(own, units, num_inputs=num_tasks, name="task_experts", **experts),
                Experts(shared_experts, units, name="shared_experts", **experts),
            ]
        self.task_gates = SoftmaxGate(
            num_tasks, task_experts + shared_experts, num_inputs=num_inputs, name="task_gates"
        )
        if not last:
            self.shared_gate = SoftmaxGate(1, self.num_experts, name="shared_gate")

    @property
    def num_experts(self) -> int:
        return self.num_tasks * self.num_task_experts + self.num_shared_experts

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
        """The gates' means over recent training batches, 0 where there is no way: (R, E)."""
        usage_RE = self._over_all_experts(self.task_gates.usage[tf.newaxis])[0]
        return usage_RE if self.last else tf.concat([usage_RE, self.shared_gate.usage], axis=0)

    def _over_all_experts(self, gates_BTM: tf.Tensor) -> tf.Tensor:
        """(B, T, E): 0 at the experts of other tasks."""
        tasks, own = self.num_tasks, self.num_task_experts
        gates_BTTN = gates_BTM[:, :, tf.newaxis, :own] * tf.eye(tasks)[:, :, tf.newaxis]
        return tf.concat(
            [tf.reshape(gates_BTTN, [-1, tasks, tasks * own]), gates_BTM[:, :, own:]], axis=2
        )

    def macs(self) -> int:
        """Multiply-accumulates of a row, once built."""
        readers, gates = self.num_tasks, self.task_gates.macs()
        if not self.last:
            readers, gates = readers + 1, gates + self.shared_gate.macs()
        mixing = readers * self.num_experts * self.units[-1]
        return sum(experts.macs() for experts in self.experts) + gates + mixing

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "task_experts": self.num_task_experts,
            "shared_experts": self.num_shared_experts,
            "units": self.units,
            "first": self.first,
            "last": self.last,
            "activation": self.activation,
            "dropout": self.dropout,
        }


@keras.utils.register_keras_serializable(package="taskroute")
class Ple(Trunk):
    """PLE: a task's gate mixes its own experts and the shared ones; levels are stacked.

    `g_k(x) = softmax(W_k x) S_k(x)`, S_k the outputs of task k's experts and of the shared ones
    (Tang et al., "Progressive Layered Extraction", RecSys 2020, Eqs. 2-7). Above the first level, a
    task's experts and gate read what that task took from the level below, the shared experts and
    the shared gate what the shared gate took, which sees all experts of its level. One level is
    CGC. No `task_experts` would be one gate a task over common experts, which is MMoE.

    Args:
        task_names: The keys of the result.
        levels: `(task_experts, shared_experts, units)` of each level, bottom up: experts of each
            task, experts of all, widths within each expert.
        activation: Name of the activation after each layer of an expert.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units and keep account of the gates.

    Returns:
        {task: (B, U)}, U the last width.

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(
        self,
        task_names: Sequence[str],
        *,
        levels: Sequence[tuple[int, int, Sequence[int]]],
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        if not levels:
            raise ValueError(f"`levels` must not be empty. Received: levels={levels}")
        super().__init__(task_names, **kwargs)
        self.level_sizes = tuple((own, shared, tuple(units)) for own, shared, units in levels)
        self.activation, self.dropout = activation, dropout
        self.levels = [
            PleLevel(
                len(self.task_names),
                own,
                shared,
                units,
                first=index == 1,
                last=index == len(self.level_sizes),
                activation=activation,
                dropout=dropout,
                name=f"level_{index}",
            )
            for index, (own, shared, units) in enumerate(self.level_sizes, start=1)
        ]

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        for level in self.levels[:-1]:
            inputs = tf.transpose(level(inputs, training=training), [1, 0, 2])
        return self._by_task(self.levels[-1](inputs, training=training), axis=1)

    def routing(self) -> tuple[RoutingMatrix, ...]:
        """The gates' means over recent training batches; an upper expert has its reader's row."""
        matrices = []
        for index, level in enumerate(self.levels, start=1):
            usage_RE, upper, name = level.usage(), self.task_names, "tasks"
            if not level.last:
                above = self.levels[index]
                tasks = range(level.num_tasks)
                rows = [task for task in tasks for _ in range(above.num_task_experts)]
                rows += [level.num_tasks] * above.num_shared_experts
                usage_RE, upper = tf.gather(usage_RE, rows), self._expert_names(index + 1)
                name = f"level_{index + 1}"
            matrices.append(RoutingMatrix(name, upper, self._expert_names(index), usage_RE))
        return tuple(matrices)

    def _expert_names(self, index: int) -> tuple[str, ...]:
        own, shared, _ = self.level_sizes[index - 1]
        names = [f"{index}.{task}.{n}" for task in self.task_names for n in range(1, own + 1)]
        return (*names, *(f"{index}.shared.{n}" for n in range(1, shared + 1)))

    @property
    def last_shared_variables(self) -> list[tf.Variable]:
        return self.levels[-1].experts[-1].last_weights()

    def macs(self) -> int:
        return sum(level.macs() for level in self.levels)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "levels": self.level_sizes,
            "activation": self.activation,
            "dropout": self.dropout,
        }
