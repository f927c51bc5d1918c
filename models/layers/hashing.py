"""Hashes of ids to the rows of a table with more ids than rows.

Only integers are used, so that a served graph can hash on any device.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# Multipliers of MurmurHash3's 64-bit finalizer (Appleby 2011): each bit of the input
# changes each bit of the output with a probability of about one half.
_FIRST, _SECOND = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53


def make_salt(feature: str, place: int) -> int:
    """Makes 64 bits for one row of a feature's terms.

    Salts depend on the name alone: a feature keeps its rows whatever other features there are.
    """
    return int.from_bytes(hashlib.sha256(f"{feature}/{place}".encode()).digest()[:8], "little")


def hashed_rows(ids: tf.Tensor, salts: Sequence[int], num_rows: int) -> tf.Tensor:
    """Hashes each id to one row for each salt.

    Args:
        ids: Ids, int64 of any shape, not negative.
        salts: Salts of `make_salt`, 64 bits each.
        num_rows: Rows of the table, at most 2^31.

    Returns:
        int64, with one more axis, in [0, num_rows).
    """
    # NumPy makes the constant: TensorFlow would round large integers beside small ones as floats.
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
