"""Values that change from step to step of training.

The step is a weight of the layer that needs it, so that a schedule goes on where a checkpoint
stopped; a count kept in Python or by epoch would start again.
"""

import tensorflow as tf
import tf_keras as keras


def add_step_counter(layer: keras.layers.Layer) -> tf.Variable:
    """Adds an int64 weight, `step`, that counts training calls from 0 and is not trained.

    Each replica of a distribution strategy counts for itself, all alike, and the first one's count
    is saved: no replica waits for another, and the call may sit in a graph of its own.
    """
    return layer.add_weight(
        name="step",
        shape=(),
        dtype=tf.int64,
        initializer="zeros",
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def next_step(counter: tf.Variable) -> tf.Tensor:
    """The number of steps before this one, float32; counts this one."""
    step = tf.identity(counter)
    counter.assign_add(1)
    return tf.cast(step, tf.float32)


def inverse_square_root(step: tf.Tensor, *, start: float, end: float) -> tf.Tensor:
    """`max(end, start / sqrt(step + 1))`: float32 scalar."""
    return tf.maximum(end, start * tf.math.rsqrt(tf.cast(step, tf.float32) + 1.0))


def linear_warm_up(step: tf.Tensor, *, steps: int) -> tf.Tensor:
    """From 0 at the first step to 1 after `steps`, which may be 0: float32 scalar."""
    return tf.minimum(1.0, tf.cast(step, tf.float32) / steps) if steps else tf.ones([])
