"""From transformed features to one vector a row.

Shape letters: B batch, F features of one width, V values of all rows together, K width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras
from pydantic import TypeAdapter

from taskroute.schemas.features import DenseFeature, Feature, MultivalentFeature, missing_key


@keras.utils.register_keras_serializable(package="taskroute")
class FeatureEmbedding(keras.layers.Layer):
    """Embeds ids, pools multivalent ones, and puts numbers beside them.

    Features of equal width share one table, each at its own offset, so that a batch costs one
    gather and one sparse update a width, however many features there are.

    Args:
        features: What the rows hold.
        num_ids: Number of ids of each feature that has any, by name.

    Call arguments:
        inputs: By feature name: int64 (B,) ids; a ragged int64 (B, values) for multivalent
            features, or a dense one filled up with 0; float32 (B,) for numbers and for their
            missing flags.

    Returns:
        (B, D): the embeddings in the features' order by width, then the numbers and their flags.

    Raises:
        ValueError: If a feature with ids is not in `num_ids`.
    """

    def __init__(self, features: Sequence[Feature], num_ids: Mapping[str, int], **kwargs: Any):
        super().__init__(**kwargs)
        self.features = tuple(features)
        self.num_ids = dict(num_ids)
        self.dense = [f for f in self.features if isinstance(f, DenseFeature)]
        self._by_width: dict[int, list[Feature]] = {}
        for feature in self.features:
            if isinstance(feature, DenseFeature):
                continue
            if feature.name not in self.num_ids:
                raise ValueError(
                    f"`num_ids` must hold every feature with ids. Received: "
                    f"num_ids={self.num_ids} without {feature.name!r}"
                )
            self._by_width.setdefault(feature.embedding_dim, []).append(feature)

    @property
    def output_width(self) -> int:
        """D, which follows from the features alone."""
        tables = sum(width * len(features) for width, features in self._by_width.items())
        return tables + 2 * len(self.dense)

    def build(self, input_shape: Any = None) -> None:
        self.tables = {}
        for width, features in self._by_width.items():
            self.tables[str(width)] = self.add_weight(
                name=f"table_{width}",
                shape=(sum(self.num_ids[f.name] for f in features), width),
                initializer=keras.initializers.RandomUniform(-0.05, 0.05),
            )
        super().build(input_shape)

    def call(self, inputs: Mapping[str, tf.Tensor | tf.RaggedTensor]) -> tf.Tensor:
        parts = [self._embed(width, features, inputs) for width, features in self._by_width.items()]
        numbers = [
            inputs[key] for feature in self.dense for key in (feature.name, missing_key(feature))
        ]
        if numbers:
            parts.append(tf.cast(tf.stack(numbers, axis=1), self.compute_dtype))
        return tf.concat(parts, axis=1)

    def _embed(
        self,
        width: int,
        features: Sequence[Feature],
        inputs: Mapping[str, tf.Tensor | tf.RaggedTensor],
    ) -> tf.Tensor:
        single: list[tf.Tensor] = []
        multivalent: list[tf.Tensor | tf.RaggedTensor] = []
        lists: list[tf.Tensor] = []
        offset = 0
        for feature in features:
            ids = inputs[feature.name]
            if isinstance(feature, MultivalentFeature):
                multivalent.append(ids)
                values = ids.values if _is_ragged(ids) else tf.reshape(ids, [-1])
                lists.append(values + offset)
            else:
                single.append(ids + offset)
            offset += self.num_ids[feature.name]
        flat = [tf.reshape(tf.stack(single, axis=1), [-1])] if single else []
        flat += lists
        rows_VK = tf.gather(self.tables[str(width)], tf.concat(flat, axis=0))
        sizes = [tf.shape(values)[0] for values in flat]
        split = tf.split(rows_VK, sizes) if len(sizes) > 1 else [rows_VK]
        parts = [tf.reshape(split.pop(0), [-1, len(single) * width])] if single else []
        pooled = [f.pooling for f in features if isinstance(f, MultivalentFeature)]
        for ids, rows, pooling in zip(multivalent, split, pooled, strict=True):
            pool = _pool if _is_ragged(ids) else _pool_padded
            parts.append(pool(rows, ids, pooling))
        return tf.concat(parts, axis=1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "features": [feature.model_dump(mode="json") for feature in self.features],
            "num_ids": self.num_ids,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FeatureEmbedding":
        features = TypeAdapter(tuple[Feature, ...]).validate_python(config["features"])
        return cls(**{**config, "features": features})


def _pool(rows_VK: tf.Tensor, ids: tf.RaggedTensor, pooling: str) -> tf.Tensor:
    """(B, K): the sum or the mean of each row's values; zeros for a row without values."""
    total_BK = tf.math.unsorted_segment_sum(rows_VK, ids.value_rowids(), ids.nrows())
    if pooling == "sum":
        return total_BK
    counts_B = tf.cast(tf.maximum(ids.row_lengths(), 1), total_BK.dtype)
    return total_BK / counts_B[:, tf.newaxis]


def _pool_padded(rows_VK: tf.Tensor, ids_BN: tf.Tensor, pooling: str) -> tf.Tensor:
    """As `_pool`, where a row's values are filled up with 0, without any op on sparse values."""
    shape = tf.concat([tf.shape(ids_BN), [rows_VK.shape[1]]], axis=0)
    present_BN1 = tf.cast(ids_BN > 0, rows_VK.dtype)[:, :, tf.newaxis]
    total_BK = tf.reduce_sum(tf.reshape(rows_VK, shape) * present_BN1, axis=1)
    if pooling == "sum":
        return total_BK
    return total_BK / tf.maximum(tf.reduce_sum(present_BN1, axis=1), 1.0)


def _is_ragged(ids: tf.Tensor | tf.RaggedTensor) -> bool:
    return isinstance(ids, tf.RaggedTensor)
