"""Trunk with a network for each task."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from taskroute.models.layers.trunk import RoutingMatrix, Trunk
from taskroute.schemas import trunks


class SingleTask(Trunk):
    """Separate networks of equal shape, one for each task: the baseline that shares nothing.

    Args:
        config: Config of widths, activation and dropout.
        task_names: Keys of the result.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units.

    Returns:
        {task: (B, units[-1])}.

    Raises:
        ValueError: If there is no task.
    """

    def __init__(self, config: trunks.SingleTaskTrunk, task_names: Sequence[str], **kwargs: Any):
        super().__init__(config, task_names, **kwargs)
        self.networks = self._experts(
            len(self.task_names), config.units, experts_first=True, name="networks"
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        return self._by_task(self.networks(inputs, training=training), axis=0)

    def routing(self) -> tuple[RoutingMatrix, ...]:
        return self._matrices([self.task_names], [tf.eye(len(self.task_names))])

    def macs(self) -> int:
        return self.networks.macs()
