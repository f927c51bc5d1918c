"""Distribution over buckets of the label, and its mean.

Shape letters: B rows, K buckets.
"""

import numpy as np
import tensorflow as tf

from taskroute.models.heads.head import Floats, Head
from taskroute.schemas.tasks import Task

# Logit of a bucket that no row can be in.
_NEVER = -20.0


class BucketsHead(Head):
    """Softmax over buckets of the label; the prediction is `sum_k p_k m_k`, m the buckets' means.

    Bucket 0 holds the labels of exactly 0. Half of the other boundaries are quantiles of the rows,
    half of the label's sum, so that a heavy tail, where few rows hold much of the mean, gets narrow
    buckets too. Boundaries and means come from a sample of the train split, and are weights of the
    head. Cross entropy sees only the bucket of a label: a huge label does not dominate a gradient.

    Args:
        task: Task, whose `num_buckets` is K; some stay empty if there are fewer distinct labels.
    """

    def __init__(self, task: Task):
        super().__init__(task, task.num_buckets)

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        self.boundaries = self.add_weight(
            name="boundaries", shape=(self.units - 1,), initializer="zeros", trainable=False
        )
        self.means = self.add_weight(
            name="means", shape=(self.units,), initializer="zeros", trainable=False
        )

    def row_losses(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        # A label equal to a boundary is below it: 0 is at most the first one, which is 0.
        buckets = tf.searchsorted(tf.convert_to_tensor(self.boundaries), labels, side="left")
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=buckets, logits=logits)

    def value(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.linalg.matvec(tf.nn.softmax(logits), tf.convert_to_tensor(self.means))

    def start(self, labels: Floats, weights: Floats) -> float:
        is_known = weights > 0
        labels, weights = labels[is_known], weights[is_known]
        boundaries = _boundaries(labels, weights, self.units - 1)
        buckets = np.searchsorted(boundaries, labels.astype(np.float32), side="left")
        sizes = np.bincount(buckets, weights, self.units)
        sums = np.bincount(buckets, weights * labels, self.units)
        shares = sizes / max(sizes.sum(), 1e-9)
        logits = np.log(shares, where=shares > 0, out=np.full(self.units, _NEVER))
        self.boundaries.assign(boundaries)
        self.means.assign(sums / np.where(sizes > 0, sizes, 1.0))
        self.bias.assign(logits)
        return float(-np.sum(shares * np.where(shares > 0, logits, 0.0)))


def _boundaries(labels: Floats, weights: Floats, count: int) -> np.ndarray:
    """Rising boundaries, float32 (count,): 0, quantiles of rows and label sum, infinity."""
    order = np.argsort(labels)
    labels, weights = labels[order], weights[order]
    row_sums = np.cumsum(weights * (labels > 0))
    label_sums = np.cumsum(weights * labels)
    edges = [np.zeros(1)]
    if len(labels) and label_sums[-1] > 0:
        for sums, number in ((row_sums, count // 2), (label_sums, count - 1 - count // 2)):
            shares = np.arange(1, number + 1) / (number + 1)
            edges.append(labels[np.searchsorted(sums, shares * sums[-1])])
    distinct = np.unique(np.concatenate(edges).astype(np.float32))
    return np.append(distinct, np.full(count - len(distinct), np.inf, np.float32))
