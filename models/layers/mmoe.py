"""Multi-gate mixture of experts.

Shape letters: B batch, E experts, O upper experts or tasks, U units.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.experts import Experts
from taskroute.models.layers.gates import SoftmaxGate
from taskroute.models.layers.trunk import RoutingMatrix, Trunk, part_names


@keras.utils.register_keras_serializable(package="taskroute")
class Mmoe(Trunk):
    """Experts mixed for each task by its own gate: `f_k(x) = sum_i softmax(W_k x)_i f_i(x)`.

    Reference: Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate
    Mixture-of-Experts", KDD 2018, Eqs. 6-8. Several layers are the ML-MMoE of Ma et al., AAAI 2019,
    p. 221: an upper expert has a gate over the lower experts as a task does, and the gates of all
    layers read the input of the trunk. A single expert a layer is a shared bottom.

    Args:
        task_names: The keys of the result.
        layers: `(num_experts, units)` of each layer, bottom up; `units` are the widths within each
            expert.
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
        layers: Sequence[tuple[int, Sequence[int]]],
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        if not layers:
            raise ValueError(f"`layers` must not be empty. Received: layers={layers}")
        super().__init__(task_names, **kwargs)
        self.layer_sizes = tuple((count, tuple(units)) for count, units in layers)
        self.activation, self.dropout = activation, dropout
        self.experts, self.gates = [], []
        num_inputs = 1
        for index, (count, units) in enumerate(self.layer_sizes, start=1):
            self.experts.append(
                Experts(
                    count,
                    units,
                    num_inputs=num_inputs,
                    activation=activation,
                    dropout=dropout,
                    name=f"experts_{index}",
                )
            )
            last = index == len(self.layer_sizes)
            uppers = len(self.task_names) if last else self.layer_sizes[index][0]
            self.gates.append(SoftmaxGate(uppers, count, name=f"gate_{index}"))
            num_inputs = uppers

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        below = inputs
        for experts, gate in zip(self.experts, self.gates, strict=True):
            outputs_BEU = experts(below, training=training)
            gates_BOE = tf.cast(gate(inputs, training=training), outputs_BEU.dtype)
            mixed_BOU = tf.matmul(gates_BOE, outputs_BEU)
            below = tf.transpose(mixed_BOU, [1, 0, 2])
        return self._by_task(mixed_BOU, axis=1)

    def routing(self) -> tuple[RoutingMatrix, ...]:
        """The gates' means over recent training batches; they differ from example to example."""
        matrices = []
        for index, gate in enumerate(self.gates, start=1):
            last = gate is self.gates[-1]
            upper = self.task_names if last else part_names(index + 1, gate.num_upper)
            lower = part_names(index, gate.num_lower)
            name = "tasks" if last else f"layer_{index + 1}"
            matrices.append(RoutingMatrix(name, upper, lower, tf.convert_to_tensor(gate.usage)))
        return tuple(matrices)

    @property
    def last_shared_variables(self) -> list[tf.Variable]:
        return self.experts[-1].last_weights()

    def macs(self) -> int:
        return sum(
            experts.macs() + gate.macs() + gate.num_upper * gate.num_lower * experts.units[-1]
            for experts, gate in zip(self.experts, self.gates, strict=True)
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layers": self.layer_sizes,
            "activation": self.activation,
            "dropout": self.dropout,
        }
