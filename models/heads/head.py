"""Base class of heads, which hide a task's loss from all other code.

Shape letters: B rows, K logits of a row.
"""

import abc

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from taskroute.models.distribution import replica_mean
from taskroute.schemas.tasks import Task

Floats = npt.NDArray[np.float64]


class Head(keras.layers.Dense, abc.ABC):
    """Last layer of a tower: call (B, U) -> logits, float32 (B,), or (B, K) where K > 1.

    Args:
        task: Task, which decides the loss and the prediction.
        num_logits: Number of logits, K.
    """

    def __init__(self, task: Task, num_logits: int = 1):
        super().__init__(num_logits, dtype="float32", name=f"head_{task.name}")
        self.task = task

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        logits = super().call(inputs)
        return tf.squeeze(logits, axis=1) if self.units == 1 else logits

    @abc.abstractmethod
    def row_losses(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Loss of each row: float32 (B,), finite for every finite logit and allowed label."""

    @abc.abstractmethod
    def value(self, logits: tf.Tensor) -> tf.Tensor:
        """Prediction: float32 (B,), in the unit of the label's column."""

    @abc.abstractmethod
    def start(self, labels: Floats, weights: Floats) -> float:
        """Sets the bias to the best constant for a sample of rows, and returns its loss.

        Args:
            labels: Labels in the unit of the loss, (N,).
            weights: Weights, 0 for rows left out, (N,); all may be 0.
        """

    def finish(self, logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> None:
        """Adjusts the head after training, by its logits for a sample of train rows."""

    def loss(self, logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Weighted mean loss: a float32 scalar, 0 for a batch without a row of the task.

        The sum is divided by the sum of the weights, so that a rare task does not fade. Where
        replicas share a batch, the mean of their results is that of the whole batch.

        Args:
            logits: Logits of `call`, float32.
            labels: Labels, float32 (B,).
            weights: Weights, float32 (B,), 0 for rows left out.
        """
        total = replica_mean(tf.reduce_sum(weights))
        return tf.math.divide_no_nan(
            tf.reduce_sum(self.row_losses(logits, labels) * weights), total
        )

    def macs(self) -> int:
        """Multiply-accumulates of a row, once built."""
        return int(self.kernel.shape.num_elements())
