"""Conflict-averse step: towards the task worst off, near the mean of the gradients."""

import tensorflow as tf

from taskroute.models.balance.surgery import GradientSurgery
from taskroute.schemas.balance import CaGradBalance

_STEPS, _FIRST_RATE = 64, 10.0


class CaGrad(GradientSurgery):
    """Conflict-averse descent: `max_d min_t g_t . d` over `|d - g_0| <= c |g_0|`, g_0 the mean.

    Its dual is `min_w g_w . g_0 + c |g_0| |g_w|` over the simplex, `g_w = sum_t w_t g_t`; then
    `d = g_0 + c |g_0| / |g_w| g_w`.

    Reference: Liu, Liu, Jin, Stone, Liu, "Conflict-Averse Gradient Descent for Multi-task
    Learning", NeurIPS 2021, Algorithm 1, without its final division by 1 + c^2. Ours: the dual is
    solved by 64 steps of exponentiated gradients on the (T, T) products, within the graph; the
    step is T d, so that c = 0 is the sum of the gradients.

    Args:
        config: Config, whose `radius` is c.
        tasks: Tasks in the order of the losses.
    """

    config: CaGradBalance

    def coefficients(self, gram: tf.Tensor) -> tf.Tensor:
        count = len(self.tasks)
        # Neither the solution nor the result depends on the scale.
        scale = tf.reduce_max(tf.linalg.diag_part(gram))
        gram = tf.math.divide_no_nan(gram, scale)
        mean = tf.reduce_mean(gram, axis=1)
        radius = self.config.radius * tf.sqrt(tf.maximum(tf.reduce_mean(mean), 0.0))

        def mixture(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            """Weights, products of the gradients with their mixture, and the mixture's length."""
            weights = tf.nn.softmax(logits)
            products = tf.linalg.matvec(gram, weights)
            return weights, products, tf.sqrt(tf.maximum(tf.reduce_sum(weights * products), 0.0))

        def descend(step: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            _, products, length = mixture(logits)
            slope = mean + radius * tf.math.divide_no_nan(products, length)
            rate = _FIRST_RATE / tf.sqrt(step + 1.0)
            return step + 1.0, logits - rate * (slope - tf.reduce_min(slope))

        start = (tf.zeros([]), tf.zeros([count]))
        _, logits = tf.while_loop(lambda step, _: step < _STEPS, descend, start)
        weights, _, length = mixture(logits)
        return 1.0 + count * tf.math.divide_no_nan(radius, length) * weights
