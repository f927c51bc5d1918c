"""Gradients without their conflicts with other tasks' gradients."""

from typing import Any

import tensorflow as tf

from taskroute.models.balance.surgery import GradientSurgery
from taskroute.models.layers.noise import add_noise, next_seed


class PcGrad(GradientSurgery):
    """Projecting conflicting gradients: where `g_i . g_j < 0`, `g_i -= (g_i . g_j / |g_j|^2) g_j`.

    Each task's gradient is projected against the others' original ones in an order drawn anew at
    each step, by the seed of the training; the results are summed.

    Reference: Yu, Kumar, Gupta, Levine, Hausman, Finn, "Gradient Surgery for Multi-Task Learning",
    NeurIPS 2020, Algorithm 1.

    Args:
        config: Config without options.
        tasks: Tasks in the order of the losses.
    """

    def build(self, input_shape: Any) -> None:
        self.noise = add_noise(self)
        super().build(input_shape)

    def coefficients(self, gram: tf.Tensor) -> tf.Tensor:
        count = len(self.tasks)
        seed = next_seed(self.noise)
        others = tf.argsort(tf.random.stateless_uniform([count, count], seed), axis=1)
        # Row i: gradient i as a combination of the original ones.
        combined = tf.eye(count)
        for turn in range(count):
            other = others[:, turn]
            dots = tf.reduce_sum(combined * tf.gather(gram, other), axis=1)
            squares = tf.gather(tf.linalg.diag_part(gram), other)
            is_conflict = (dots < 0) & (other != tf.range(count))
            taken = tf.where(is_conflict, tf.math.divide_no_nan(dots, squares), 0.0)
            combined -= taken[:, tf.newaxis] * tf.one_hot(other, count)
        return tf.reduce_sum(combined, axis=0)
