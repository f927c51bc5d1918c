"""Multi-gate mixture of experts.

Shape letters: B batch, E experts, O upper experts or tasks, U units.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from taskroute.models.layers.gates import SoftmaxGate
from taskroute.models.layers.trunk import RoutingMatrix, Trunk, all_part_names
from taskroute.schemas import trunks


class Mmoe(Trunk):
    """Experts mixed for each task by its own gate: `f_k(x) = sum_i softmax(W_k x)_i f_i(x)`.

    Reference: Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate
    Mixture-of-Experts", KDD 2018, Eqs. 6-8. Several layers are the ML-MMoE of Ma et al., AAAI 2019,
    p. 221: an upper expert has a gate over the lower experts as a task does, and the gates of all
    layers read the input of the trunk. A single expert a layer is a shared bottom.

    Args:
        config: Config of the layers of experts, their activation and dropout.
        task_names: Keys of the result.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units and update the gates' usage.

    Returns:
        {task: (B, U)}, U the last width.

    Raises:
        ValueError: If there is no task.
    """

    def __init__(self, config: trunks.MmoeTrunk, task_names: Sequence[str], **kwargs: Any):
        super().__init__(config, task_names, **kwargs)
        self.experts, self.gates = [], []
        uppers = [*(layer.experts for layer in config.layers[1:]), len(self.task_names)]
        num_inputs = 1
        for index, (layer, upper) in enumerate(zip(config.layers, uppers, strict=True), start=1):
            self.experts.append(
                self._experts(
                    layer.experts, layer.units, num_inputs=num_inputs, name=f"experts_{index}"
                )
            )
            self.gates.append(SoftmaxGate(upper, layer.experts, name=f"gate_{index}"))
            num_inputs = upper

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        below = inputs
        for experts, gate in zip(self.experts, self.gates, strict=True):
            outputs_BEU = experts(below, training=training)
            gates_BOE = tf.cast(gate(inputs, training=training), outputs_BEU.dtype)
            mixed_BOU = tf.matmul(gates_BOE, outputs_BEU)
            below = tf.transpose(mixed_BOU, [1, 0, 2])
        return self._by_task(mixed_BOU, axis=1)

    def routing(self) -> tuple[RoutingMatrix, ...]:
        """Mean gates over recent training batches; gates differ from example to example."""
        lower = all_part_names([gate.num_lower for gate in self.gates])
        return self._matrices(lower, [tf.convert_to_tensor(gate.usage) for gate in self.gates])

    @property
    def last_shared_variables(self) -> list[tf.Variable]:
        return self.experts[-1].last_weights()

    def macs(self) -> int:
        return sum(
            experts.macs() + gate.macs() + gate.num_upper * gate.num_lower * experts.units[-1]
            for experts, gate in zip(self.experts, self.gates, strict=True)
        )
