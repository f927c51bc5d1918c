"""Schedules: values that change with the training step.

The step is a weight of the layer that needs it, so that a schedule resumes with a checkpoint; a
count kept in Python or by epoch would start again.
"""

import math

import tensorflow as tf
import tf_keras as keras

from taskroute.schemas.training import ConstantSchedule, CosineSchedule


def add_step_counter(layer: keras.layers.Layer) -> tf.Variable:
    """Adds an int64 weight, `step`, that counts training calls from 0 and is not trained.

    Each replica of a distribution strategy counts for itself, all alike, and the first one's count
    is saved: no replica waits for another, and the call may be in a graph of its own.
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
    """Number of steps before this one, float32; counts this one."""
    step = tf.identity(counter)
    counter.assign_add(1)
    return tf.cast(step, tf.float32)


def inverse_square_root(step: tf.Tensor, *, start: float, end: float) -> tf.Tensor:
    """Falls as `max(end, start / sqrt(step + 1))`: float32 scalar."""
    return tf.maximum(end, start * tf.math.rsqrt(tf.cast(step, tf.float32) + 1.0))


def linear_warm_up(step: tf.Tensor, *, steps: int) -> tf.Tensor:
    """Rises from 0 at the first step to 1 after `steps`, which may be 0: float32 scalar."""
    return tf.minimum(1.0, tf.cast(step, tf.float32) / steps) if steps else tf.ones([])


def learning_rate(
    schedule: ConstantSchedule | CosineSchedule, base: float
) -> "float | WarmUpAndDecay":
    """Learning rate that starts from `base` and follows `schedule` by the optimizer's steps."""
    match schedule:
        case ConstantSchedule(warmup_steps=0):
            return base
        case ConstantSchedule():
            return WarmUpAndDecay(base, schedule.warmup_steps)
        case CosineSchedule():
            return WarmUpAndDecay(base, schedule.warmup_steps, schedule.decay_steps, schedule.end)


class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from `base / warmup_steps` to `base`, then falls by a cosine to `end * base`.

    Args:
        base: Highest rate.
        warmup_steps: Steps of the rise; may be 0.
        decay_steps: Steps of the fall; None stays at `base`.
        end: Share of `base` after the fall.
    """

    def __init__(
        self, base: float, warmup_steps: int, decay_steps: int | None = None, end: float = 0.0
    ):
        super().__init__()
        self.base, self.warmup_steps = base, warmup_steps
        self.decay_steps, self.end = decay_steps, end

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        rate = self.base * linear_warm_up(step + 1.0, steps=self.warmup_steps)
        if self.decay_steps is None:
            return rate
        done = tf.clip_by_value((step - self.warmup_steps) / self.decay_steps, 0.0, 1.0)
        return rate * (self.end + (1 - self.end) * (1 + tf.cos(math.pi * done)) / 2)
