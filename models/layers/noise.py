"""Random numbers with a weight as their state.

Training resumed from a checkpoint then draws the same numbers as without the interruption, and each
replica of a distribution strategy draws the same gates. TensorFlow's own stateful draws restart in
each process, and differ between replicas.
"""

from typing import Any

import tensorflow as tf
import tf_keras as keras


def add_noise(layer: keras.layers.Layer) -> tf.Variable:
    """Adds an int64 weight, `noise` (2,): a key, drawn at random, and the number of draws so far.

    Each replica counts for itself, all alike, as with the step counters of `schedules.py`.
    """
    return layer.add_weight(
        name="noise",
        shape=(2,),
        dtype=tf.int64,
        initializer=_first_state,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def next_seed(noise: tf.Variable) -> tf.Tensor:
    """Seed of one stateless draw, int64 (2,); another one at the next call."""
    seed = tf.identity(noise)
    noise.assign_add([0, 1])
    return seed


class Dropout(keras.layers.Layer):
    """Sets a share of the units to 0 while training, and scales up the others.

    Srivastava et al., JMLR 2014. Same as Keras's, except for the source of its random numbers.
    Replicas, which hold other rows, drop other units.

    Args:
        rate: Share of dropped units, in [0, 1).

    Call arguments:
        inputs: float tensor of any shape.
        training: Whether to drop.

    Returns:
        A tensor of the inputs' shape.

    Raises:
        ValueError: If the rate is out of range.
    """

    def __init__(self, rate: float, **kwargs: Any):
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must be in [0, 1). Received: rate={rate}")
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, input_shape: Any = None) -> None:
        if self.rate:
            self.noise = add_noise(self)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training or not self.rate:
            return inputs
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.random.experimental.stateless_fold_in(next_seed(self.noise), replica)
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, seed=seed)


def _first_state(shape: tuple[int, ...], dtype: tf.DType = tf.int64, **_: Any) -> tf.Tensor:
    key = tf.random.uniform(shape[:1], maxval=tf.int32.max, dtype=dtype)
    return key * tf.constant([1, 0], dtype)
