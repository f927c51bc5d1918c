"""One body for every task."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.mlp import Mlp
from taskroute.models.layers.trunk import RoutingMatrix, Trunk


@keras.utils.register_keras_serializable(package="taskroute")
class SharedBottom(Trunk):
    """Shared bottom: every tower reads the same features, `y_k = h_k(f(x))`.

    Reference: Caruana, "Multitask Learning", 1997; Eq. 1 of Ma et al., KDD 2018.

    Args:
        task_names: The keys of the result.
        units: Width of each layer, bottom up.
        activation: Name of the activation after each layer.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units.

    Returns:
        {task: (B, units[-1])}, the same tensor for every task.

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
        self.body = Mlp(units, activation=activation, dropout=dropout, name="body")

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        return dict.fromkeys(self.task_names, self.body(inputs, training=training))

    def routing(self) -> tuple[RoutingMatrix, ...]:
        everything = tf.ones([len(self.task_names), 1])
        return (RoutingMatrix("tasks", self.task_names, ("shared",), everything),)

    @property
    def last_shared_variables(self) -> list[tf.Variable]:
        return self.body.last_weights()

    def macs(self) -> int:
        return self.body.macs()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.body.units,
            "activation": self.body.activation,
            "dropout": self.body.dropout,
        }
