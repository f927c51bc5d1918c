"""A distribution over buckets of the label, and its mean.

Shape letters: B rows, K buckets.
"""

import numpy as np
import tensorflow as tf

from taskroute.models.heads.head import Floats, Head
from taskroute.schemas.tasks import Task

# Of a bucket that no row can be in.
_NEVER = -20.0


class BucketsHead(Head):
    """A softmax over buckets of the label; served is `sum_k p_k m_k`, m the buckets' means.

    Bucket 0 holds the labels of exactly 0. Half of the other boundaries part the rows evenly, half
    the label's sum, so that a heavy tail, where few rows hold much of the mean, is cut finely too.
    Boundaries and means are found on a sample of the train split, and are weights of the head.
    Cross entropy sees a label only by its bucket: the longest watch of all leads no gradient.

    Args:
        task: Its `num_buckets` is K; some stay unused where the sample has fewer distinct labels.
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
        # Equal to a boundary is below it: 0 is at most the first one, which is 0.
        buckets = tf.searchsorted(tf.convert_to_tensor(self.boundaries), labels, side="left")
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=buckets, logits=logits)

    def value(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.linalg.matvec(tf.nn.softmax(logits), tf.convert_to_tensor(self.means))

    def start(self, labels: Floats, weights: Floats) -> float:
        counted = weights > 0
        labels, weights = labels[counted], weights[counted]
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
    """float32 (count,), rising: 0, then quantiles of rows and of the label's sum; then infinity."""
    order = np.argsort(labels)
    labels, weights = labels[order], weights[order]
    of_rows = np.cumsum(weights * (labels > 0))
    of_sum = np.cumsum(weights * labels)
    found = [np.zeros(1)]
    if len(labels) and of_sum[-1] > 0:
        for sums, number in ((of_rows, count // 2), (of_sum, count - 1 - count // 2)):
            shares = np.arange(1, number + 1) / (number + 1)
            found.append(labels[np.searchsorted(sums, shares * sums[-1])])
    distinct = np.unique(np.concatenate(found).astype(np.float32))
    return np.append(distinct, np.full(count - len(distinct), np.inf, np.float32))
