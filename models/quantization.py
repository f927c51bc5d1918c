"""Parts of a ranker in fewer bits, for serving.

Shape letters: R rows of a table, V looked-up values, K width.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.compact_trunk import CompactTrunk
from taskroute.models.layers.mlp import Mlp
from taskroute.models.layers.trunk import Trunk
from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.trunks import build_trunk
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.serving import Precision

# float16 ends at 65,504, and numbers of a log have no limit.
_LARGEST_FLOAT16_INPUT = 1000.0


class Int8Tables:
    """Embedding tables with one byte a number and one float32 scale a row.

    A number is its byte times its row's scale, the row's largest magnitude over 127: symmetric, so
    that 0 stays 0. Only looked-up rows become float32.

    Args:
        tables: Tables by name, float32 (R, K) each.
    """

    def __init__(self, tables: Mapping[str, tf.Variable]):
        self._bytes, self._scales = {}, {}
        for name, table in tables.items():
            numbers, scales = quantize_rows(table.numpy())
            self._bytes[name] = tf.Variable(numbers, trainable=False, name=f"table_{name}_int8")
            self._scales[name] = tf.Variable(scales, trainable=False, name=f"table_{name}_scale")

    def __call__(self, name: str, rows: tf.Tensor) -> tf.Tensor:
        """Looks up int64 (V,) rows of a table: float32 (V, K)."""
        numbers = tf.gather(self._bytes[name], rows)
        return tf.cast(numbers, tf.float32) * tf.gather(self._scales[name], rows)[:, tf.newaxis]

    @property
    def weights(self) -> list[tf.Variable]:
        return [*self._bytes.values(), *self._scales.values()]

    @property
    def saved_bytes(self) -> int:
        """Bytes saved against float32 tables."""
        numbers = sum(table.shape.num_elements() for table in self._bytes.values())
        return 3 * numbers - 4 * sum(scale.shape.num_elements() for scale in self._scales.values())


def quantize_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantizes a table to int8 (R, K) and scales, float32 (R,); a row of zeros stays so."""
    scales = (np.abs(table).max(axis=1) / 127).astype(np.float32)
    divisors = np.where(scales > 0, scales, np.float32(1))
    return np.rint(table / divisors[:, np.newaxis]).astype(np.int8), scales


def to_precision(inputs: tf.Tensor, precision: Precision) -> tf.Tensor:
    """Casts the input of trunk and towers; values beyond the range of float16 are clipped."""
    if precision == "float16":
        inputs = tf.clip_by_value(inputs, -_LARGEST_FLOAT16_INPUT, _LARGEST_FLOAT16_INPUT)
    return tf.cast(inputs, precision)


def parts_in_precision(
    ranker: MultiTaskRanker,
    trunk: Trunk | CompactTrunk,
    config: ModelConfig,
    precision: Precision,
) -> tuple[Trunk | CompactTrunk, dict[str, Mlp]]:
    """Copies trunk and towers with weights and products in `precision`, gates in float32.

    Args:
        ranker: Trained ranker.
        trunk: Trunk to serve: the ranker's, or its compacted form.
        config: Config of the ranker.
        precision: Precision of the copies.
    """
    width = ranker.trunk_input_width
    inputs = tf.zeros([1, width], precision)
    with _built_in(precision):
        if isinstance(trunk, CompactTrunk):
            reduced: Trunk | CompactTrunk = trunk.cast(precision)
        else:
            reduced = build_trunk(config.trunk, trunk.task_names, width)
        shared = reduced(inputs, training=False)
        if isinstance(reduced, Trunk):
            _copy(trunk.weights, reduced.weights)
        towers = {}
        for name, tower in ranker.towers.items():
            towers[name] = Mlp(tower.units, activation=tower.activation, name=tower.name)
            towers[name](shared[name])
            _copy(tower.weights, towers[name].weights)
    return reduced, towers


@contextmanager
def _built_in(precision: Precision) -> Iterator[None]:
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def _copy(sources: list[tf.Variable], targets: list[tf.Variable]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.assign(tf.cast(source, target.dtype))
