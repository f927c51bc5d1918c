"""Trunk with one body for every task."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from taskroute.models.layers.mlp import Mlp
from taskroute.models.layers.trunk import RoutingMatrix, Trunk
from taskroute.schemas import trunks


class SharedBottom(Trunk):
    """Shared bottom: every tower reads the same features, `y_k = h_k(f(x))`.

    Reference: Caruana, "Multitask Learning", 1997; Eq. 1 of Ma et al., KDD 2018.

    Args:
        config: Config of widths, activation and dropout.
        task_names: Keys of the result.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units.

    Returns:
        {task: (B, units[-1])}, the same tensor for every task.

    Raises:
        ValueError: If there is no task.
    """

    def __init__(self, config: trunks.SharedBottomTrunk, task_names: Sequence[str], **kwargs: Any):
        super().__init__(config, task_names, **kwargs)
        self.body = Mlp(
            config.units, activation=config.activation, dropout=config.dropout, name="body"
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        return dict.fromkeys(self.task_names, self.body(inputs, training=training))

    def routing(self) -> tuple[RoutingMatrix, ...]:
        return self._matrices([("shared",)], [tf.ones([len(self.task_names), 1])])

    @property
    def last_shared_variables(self) -> list[tf.Variable]:
        return self.body.last_weights()

    def macs(self) -> int:
        return self.body.macs()
