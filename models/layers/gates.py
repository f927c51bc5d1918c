"""Stochastic gates with learnable sparsity."""

import math
from typing import Any

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable(package="taskroute")
class HardConcreteGate(keras.layers.Layer):
    """A matrix of gates in [0, 1] that can reach exactly 0 and exactly 1.

    A gate is a stretched, clipped, noisy sigmoid whose location `log_alpha` is learned:

        s = sigmoid((log u - log(1 - u) + log_alpha) / temperature),  u ~ U(0, 1)
        z = min(1, max(0, s (right - left) + left))

    (Louizos et al., ICLR 2018, Eqs. 10-11, https://arxiv.org/abs/1712.01312). The SNR paper (Ma et
    al., AAAI 2019, p. 219) prints `log u - log(1 - u) + log(alpha) / temperature` with a bracket
    missing; that is a misprint, and the temperature divides the noise as well.

    Noise is drawn once per gate and call, only while training. At inference
    `z = min(1, max(0, sigmoid(log_alpha) (right - left) + left))`, without temperature, so a gate
    that closed stays closed in the served model.

    Args:
        shape: Shape of the gate matrix, `(num_upper, num_lower)`.
        temperature: Sharpness of the sigmoid, in (0, 1).
        stretch: `(left, right)` with `left < 0` and `right > 1`, or no gate can close or open.
        log_alpha_start: Where `log_alpha` starts; 0 gives gates of one half. Ours: neither paper
            states it.

    Call arguments:
        training: Whether to draw the noise.

    Returns:
        float32 tensor of shape `shape`.

    Raises:
        ValueError: If an argument is outside the range above.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        temperature: float = 2 / 3,
        stretch: tuple[float, float] = (-0.1, 1.1),
        log_alpha_start: float = 2.0,
        **kwargs: Any,
    ):
        if not shape or any(size <= 0 for size in shape):
            raise ValueError(f"`shape` must hold positive sizes. Received: shape={shape}")
        if not 0 < temperature < 1:
            raise ValueError(
                f"`temperature` must be in (0, 1). Received: temperature={temperature}"
            )
        left, right = stretch
        if left >= 0 or right <= 1:
            raise ValueError(
                f"`stretch` must start below 0 and end above 1. Received: stretch={stretch}"
            )
        super().__init__(dtype="float32", **_without_dtype(kwargs))
        self.shape = tuple(shape)
        self.temperature = temperature
        self.stretch = (left, right)
        self.log_alpha_start = log_alpha_start

    def build(self, input_shape: Any = None) -> None:
        self.log_alpha = self.add_weight(
            name="log_alpha",
            shape=self.shape,
            initializer=keras.initializers.Constant(self.log_alpha_start),
        )
        super().build(input_shape)

    def call(self, inputs: Any = None, training: bool = False) -> tf.Tensor:
        left, right = self.stretch
        logits = self.log_alpha
        if training:
            # An open interval: the logarithm of either end would make the gate NaN.
            uniform = tf.random.uniform(self.shape, 1e-6, 1 - 1e-6)
            noise = tf.math.log(uniform) - tf.math.log1p(-uniform)
            logits = (logits + noise) / self.temperature
        return tf.clip_by_value(tf.sigmoid(logits) * (right - left) + left, 0.0, 1.0)

    def expected_l0(self) -> tf.Tensor:
        """Expected number of open gates while training: a differentiable float32 scalar.

        The sum of P(z > 0) = sigmoid(log_alpha - temperature log(-left / right)): the closed form
        of the penalty in Ma et al. 2019 (1 - Q(s < 0)), as in Louizos et al. Eq. 12.
        """
        left, right = self.stretch
        shift = self.temperature * math.log(-left / right)
        return tf.reduce_sum(tf.sigmoid(self.log_alpha - shift))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "shape": self.shape,
            "temperature": self.temperature,
            "stretch": self.stretch,
            "log_alpha_start": self.log_alpha_start,
        }


def _without_dtype(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Gates are float32 under every precision policy: their sums and clips need it."""
    return {name: value for name, value in kwargs.items() if name != "dtype"}
