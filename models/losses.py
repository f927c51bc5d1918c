"""What all losses have in common."""

import tensorflow as tf

from taskroute.models.distribution import replica_mean


def weighted_mean(losses: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """The mean of rows by their weights: a float32 scalar, 0 where no row counts.

    Where replicas share a batch, the mean of what they get is that of the whole batch.

    Args:
        losses: float32 (B,), finite.
        weights: float32 (B,), 0 for rows left out.
    """
    total = replica_mean(tf.reduce_sum(weights))
    return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), total)
