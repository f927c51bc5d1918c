"""Metrics inside the training graph."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

_NUM_BINS = 8192
_RANGE = 16.0


class LogitAuc(keras.metrics.Metric):
    """Area under the ROC curve from a histogram of logits.

    8,192 bins of logits in [-16, 16] for each class; ties within a bin count one half. Rare tasks
    keep their resolution, unlike in `keras.metrics.AUC` with its thresholds on the probability.
    The result is 0.5 while one class is absent.
    """

    def __init__(self, name: str = "auc", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.counts = self.add_weight(name="counts", shape=(2, _NUM_BINS), initializer="zeros")

    def update_state(
        self, labels: tf.Tensor, logits: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        """Adds rows: `labels` in {0, 1}, `logits` and `sample_weight` are float32 (B,)."""
        weights = tf.ones_like(logits) if sample_weight is None else sample_weight
        scaled = (logits + _RANGE) * (_NUM_BINS / (2 * _RANGE))
        bins = tf.cast(tf.clip_by_value(scaled, 0, _NUM_BINS - 1), tf.int32)
        added = [
            tf.math.unsorted_segment_sum(weights * is_class, bins, _NUM_BINS)
            for is_class in (1 - labels, labels)
        ]
        self.counts.assign_add(tf.stack(added))

    def reset_state(self) -> None:
        self.counts.assign(tf.zeros_like(self.counts))

    def result(self) -> tf.Tensor:
        negatives, positives = self.counts[0], self.counts[1]
        below = tf.cumsum(negatives, exclusive=True) + negatives / 2
        pairs = tf.reduce_sum(positives) * tf.reduce_sum(negatives)
        return tf.where(pairs > 0, tf.reduce_sum(positives * below) / tf.maximum(pairs, 1e-9), 0.5)
