"""A network for each task."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.experts import Experts
from taskroute.models.layers.trunk import RoutingMatrix, Trunk


@keras.utils.register_keras_serializable(package="taskroute")
class SingleTask(Trunk):
    """Separate networks of equal shape, one for each task: the baseline that shares nothing.

    Args:
        task_names: The keys of the result.
        units: Width of each layer, bottom up.
        activation: Name of the activation after each layer.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units.

    Returns:
        {task: (B, units[-1])}.

    Raises:
        ValueError: If a width is not positive.
    """

    def __init__(
        self,
        task_names: Sequence[str],
        *,
        units: Sequence[int],
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(task_names, **kwargs)
        self.networks = Experts(
            len(self.task_names),
            units,
            experts_first=True,
            activation=activation,
            dropout=dropout,
            name="networks",
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        return self._by_task(self.networks(inputs, training=training), axis=0)

    def routing(self) -> tuple[RoutingMatrix, ...]:
        own = tf.eye(len(self.task_names))
        return (RoutingMatrix("tasks", self.task_names, self.task_names, own),)

    def macs(self) -> int:
        return self.networks.macs()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.networks.units,
            "activation": self.networks.activation,
            "dropout": self.networks.dropout,
        }
