"""Stack of dense layers."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.noise import Dropout


class Mlp(keras.layers.Layer):
    """Dense layers, each followed by an activation and by dropout.

    Args:
        units: Width of each layer, bottom up; without any, the input passes through.
        activation: Name of the activation.
        dropout: Share of units dropped after each layer while training, in [0, 1).

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units.

    Returns:
        (B, units[-1]).

    Raises:
        ValueError: If a width is not positive.
    """

    def __init__(
        self,
        units: Sequence[int],
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        if any(width <= 0 for width in units):
            raise ValueError(f"`units` must be positive. Received: units={units}")
        super().__init__(**kwargs)
        self.units = tuple(units)
        self.activation, self.dropout = activation, dropout
        self._layers = [keras.layers.Dense(width, activation=activation) for width in self.units]
        self._drop = Dropout(dropout)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        for layer in self._layers:
            inputs = self._drop(layer(inputs), training=training)
        return inputs

    def last_weights(self) -> list[tf.Variable]:
        """Weights of the last layer, once built."""
        return list(self._layers[-1].trainable_weights) if self._layers else []

    def macs(self) -> int:
        """Multiply-accumulates of a row, once built."""
        return sum(layer.kernel.shape.num_elements() for layer in self._layers)
