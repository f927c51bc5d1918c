"""Losses of one task over the rows that count for it."""

import tensorflow as tf

from taskroute.schemas.tasks import Task


def task_loss(task: Task, logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Weighted mean loss of one task: a float32 scalar.

    Cross entropy for a binary task, squared error of the transformed label for a regression. The
    sum is divided by the sum of the weights, so that a rare task does not fade; a batch without a
    row that counts gives 0.

    Args:
        task: Decides the loss.
        logits: float32 (B,).
        labels: float32 (B,).
        weights: float32 (B,), 0 for rows left out.
    """
    if task.kind == "binary":
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    else:
        losses = tf.math.squared_difference(logits, labels)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))
