"""Squared error, and Huber's, of a label or of its logarithm."""

import numpy as np
import tensorflow as tf

from taskroute.models.heads.head import Floats, Head

# expm1 of it is finite in float32, and no one watches that long.
_LARGEST_LOGIT = 60.0


class SquaredHead(Head):
    """Squared error `(f - y)^2`: predicts the mean of the label in the unit of the loss.

    For a label of log1p this is the mean of the logarithm, and `expm1` of that is about the median
    (exactly, for a log-normal label): half the mean or less where tails are heavy. With
    `smearing` the prediction is `exp(f) S - 1`, S = mean of `exp(log1p(y) - f)` over train rows.

    Reference: Duan, "Smearing Estimate: A Nonparametric Retransformation Method", JASA 1983. It
    assumes the same distribution of errors for all rows; ours is the ratio of the sums,
    `S = sum (1 + y) / sum exp(f)`, which depends less on single rows with a small f, and makes the
    mean prediction of the train rows equal the mean of their labels.
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        self.log_smearing = self.add_weight(
            name="log_smearing", shape=(), initializer="zeros", trainable=False
        )

    def row_losses(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return tf.math.squared_difference(logits, labels)

    def value(self, logits: tf.Tensor) -> tf.Tensor:
        if self.task.smearing:
            logits += self.log_smearing
        if self.task.label.transform != "none":
            logits = tf.clip_by_value(logits, 0.0, _LARGEST_LOGIT)
        return self.task.label.in_own_unit(logits, tf.math)

    def start(self, labels: Floats, weights: Floats) -> float:
        weight = max(np.sum(weights), 1.0)
        mean = np.sum(labels * weights) / weight
        self.bias.assign([mean])
        return float(np.sum(labels**2 * weights) / weight - mean**2)

    def finish(self, logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> None:
        if not self.task.smearing:
            return
        labels, weights = tf.cast(labels, tf.float64), tf.cast(weights, tf.float64)
        predicted = tf.exp(tf.clip_by_value(tf.cast(logits, tf.float64), 0.0, _LARGEST_LOGIT))
        actual = tf.reduce_sum(weights * tf.exp(labels))
        if actual > 0:
            ratio = actual / tf.reduce_sum(weights * predicted)
            self.log_smearing.assign(tf.cast(tf.math.log(ratio), tf.float32))


class HuberHead(SquaredHead):
    """Huber's loss: `e^2` up to an error of d, `2 d |e| - d^2` above, so that outliers count less.

    Twice Huber's loss (1964), to equal the squared error near 0. The prediction lies between mean
    and median: too low for a skewed label in its own unit.
    """

    def row_losses(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        error = tf.abs(logits - labels)
        inner = tf.minimum(error, self.task.huber_delta)
        return inner * (2 * error - inner)
