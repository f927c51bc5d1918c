"""From an id to the rows of a table that holds more ids than it has rows.

Whole numbers alone, so that a served graph does this on any device: no text, no table of seeds.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# Multipliers of MurmurHash3's 64-bit finalizer (Appleby 2011): each bit of what goes in changes
# each bit of what comes out with a chance of about one half.
_FIRST, _SECOND = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53


def make_salt(feature: str, place: int) -> int:
    """64 bits of their own for each row of a feature's terms.

    They follow from the name alone: a feature keeps its rows whatever stands beside it.
    """
    return int.from_bytes(hashlib.sha256(f"{feature}/{place}".encode()).digest()[:8], "little")


def hashed_rows(ids: tf.Tensor, salts: Sequence[int], num_rows: int) -> tf.Tensor:
    """The rows of each id, one by each salt.

    Args:
        ids: int64, of any shape, and not negative.
        salts: 64 bits each, of `make_salt`.
        num_rows: Of the table, at most 2^31.

    Returns:
        int64, of one more axis, in [0, num_rows).
    """
    # By NumPy: a graph's constants of large and small integers would else be rounded as floats are.
    bits = tf.cast(ids, tf.uint64)[..., tf.newaxis]
    bits = tf.bitwise.bitwise_xor(bits, tf.constant(np.array(salts, np.uint64)))
    for multiplier in (_FIRST, _SECOND):
        bits = tf.bitwise.bitwise_xor(bits, _shifted(bits, 33))
        bits *= tf.constant(multiplier, tf.uint64)
    # The upper half of the bits as a share of 2^32, times the number of rows: no division.
    shares = tf.bitwise.bitwise_xor(bits, _shifted(bits, 33))
    return tf.cast(_shifted(_shifted(shares, 32) * tf.constant(num_rows, tf.uint64), 32), tf.int64)


def _shifted(bits: tf.Tensor, count: int) -> tf.Tensor:
    return tf.bitwise.right_shift(bits, tf.constant(count, tf.uint64))
