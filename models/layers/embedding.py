"""From transformed features to one vector a row.

Shape letters: B batch, S features of one term a row and of one width, V values of all rows
together, K width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import tensorflow as tf
import tf_keras as keras
from pydantic import TypeAdapter

from taskroute.models.layers.pooling import pool
from taskroute.schemas.features import (
    DenseFeature,
    Feature,
    IdFeature,
    ListFeature,
    SequenceFeature,
    ids_owner,
    missing_key,
)


@dataclass(frozen=True)
class TableRows:
    """Where a feature's embeddings are: id i is row `first + i` of the table of its width.

    Attributes:
        width: K of the table, whose weight is `table_<width>`.
        first: Row of id 0, which is the missing value.
        number: Of ids, and of rows.
    """

    width: int
    first: int
    number: int


def table_rows(features: Sequence[Feature], num_ids: Mapping[str, int]) -> dict[str, TableRows]:
    """The rows of each feature with ids, by its name.

    A table holds all features of one width, one after the other in their order. A feature that
    shares another's ids has the other's rows.

    Args:
        features: Of one model.
        num_ids: Number of ids of each feature that has any, by name.

    Raises:
        ValueError: If a feature with ids is not in `num_ids`, or one that is shared not there.
    """
    rows: dict[str, TableRows] = {}
    heights: dict[int, int] = {}
    embedded = [feature for feature in features if not isinstance(feature, DenseFeature)]
    for feature in embedded:
        if feature.name not in num_ids:
            raise ValueError(
                f"`num_ids` must hold every feature with ids. Received: "
                f"num_ids={dict(num_ids)} without {feature.name!r}"
            )
        if feature.embedding_dim is not None:
            first = heights.get(feature.embedding_dim, 0)
            number = num_ids[feature.name]
            rows[feature.name] = TableRows(feature.embedding_dim, first, number)
            heights[feature.embedding_dim] = first + number
    for feature in embedded:
        if isinstance(feature, IdFeature):
            rows[feature.name] = rows[ids_owner(feature, features).name]
    return rows


@keras.utils.register_keras_serializable(package="taskroute")
class FeatureEmbedding(keras.layers.Layer):
    """Embeds ids, pools lists of them, and puts numbers beside them.

    Features of equal width share one table, each at its own rows (`table_rows`), so that a batch
    costs one gather and one sparse update a width, however many features there are.

    Args:
        features: What the rows hold.
        num_ids: Number of ids of each feature that has any, by name.

    Call arguments:
        inputs: By feature name: int64 (B,) ids; for features of lists a ragged int64 (B, values),
            or a dense one filled up with 0; float32 (B,) for numbers and for their missing flags.
        lookup: From a key of `tables` and int64 (V,) rows to (V, K), in the place of the tables.

    Returns:
        (B, D): the embeddings by width, in each those of features of one term before those of lists
        (`pooling.pool`), each in the features' order; then the numbers and their flags.

    Raises:
        ValueError: If a feature with ids is not in `num_ids`, or one that is shared not there.
    """

    def __init__(self, features: Sequence[Feature], num_ids: Mapping[str, int], **kwargs: Any):
        super().__init__(**kwargs)
        self.features = tuple(features)
        self.num_ids = dict(num_ids)
        self.rows = table_rows(self.features, self.num_ids)
        self.dense = [f for f in self.features if isinstance(f, DenseFeature)]
        self._by_width: dict[int, list[Feature]] = {}
        for feature in self.features:
            if not isinstance(feature, DenseFeature):
                self._by_width.setdefault(self.rows[feature.name].width, []).append(feature)

    @property
    def output_width(self) -> int:
        """D, which follows from the features alone."""
        tables = sum(width * len(features) for width, features in self._by_width.items())
        return tables + 2 * len(self.dense)

    def macs(self) -> int:
        """Multiply-accumulates for one row at most: those of attention; a lookup has none."""
        return sum(
            2 * feature.max_length * self.rows[feature.name].width
            for feature in self.features
            if _attends(feature)
        )

    def build(self, input_shape: Any = None) -> None:
        self.tables = {}
        self.queries = {}
        for width, features in self._by_width.items():
            own = {self.rows[feature.name] for feature in features}
            self.tables[str(width)] = self.add_weight(
                name=f"table_{width}",
                shape=(sum(rows.number for rows in own), width),
                initializer=keras.initializers.RandomUniform(-0.05, 0.05),
            )
            single = {feature.name for feature in features if not isinstance(feature, ListFeature)}
            for feature in features:
                if _attends(feature) and feature.shares not in single:
                    # All scores are 0 then: attention begins as the mean.
                    self.queries[feature.name] = self.add_weight(
                        name=f"query_{feature.name}", shape=(width,), initializer="zeros"
                    )
        super().build(input_shape)

    def call(
        self,
        inputs: Mapping[str, tf.Tensor | tf.RaggedTensor],
        lookup: Callable[[str, tf.Tensor], tf.Tensor] | None = None,
    ) -> tf.Tensor:
        parts = [
            self._embed(width, features, inputs, lookup or self._lookup)
            for width, features in self._by_width.items()
        ]
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
        lookup: Callable[[str, tf.Tensor], tf.Tensor],
    ) -> tf.Tensor:
        single = [feature for feature in features if not isinstance(feature, ListFeature)]
        lists = [feature for feature in features if isinstance(feature, ListFeature)]
        flat = [_values(inputs[f.name]) + self.rows[f.name].first for f in lists]
        if single:
            ids_BS = tf.stack([inputs[f.name] + self.rows[f.name].first for f in single], axis=1)
            flat.insert(0, tf.reshape(ids_BS, [-1]))
        rows_VK = lookup(str(width), tf.concat(flat, axis=0))
        sizes = [tf.shape(values)[0] for values in flat]
        split = tf.split(rows_VK, sizes) if len(sizes) > 1 else [rows_VK]
        by_name: dict[str, tf.Tensor] = {}
        if single:
            single_BSK = tf.reshape(split.pop(0), [-1, len(single), width])
            by_name = {f.name: single_BSK[:, place] for place, f in enumerate(single)}
        parts = list(by_name.values())
        for feature, rows in zip(lists, split, strict=True):
            ids, query_BK = inputs[feature.name], None
            if feature.name in self.queries:
                query_K = self.queries[feature.name]
                query_BK = tf.broadcast_to(query_K, [_num_rows(ids), width])
            elif _attends(feature):
                query_BK = by_name[str(feature.shares)]
            parts.append(pool(rows, ids, feature.pooling, query_BK))
        return tf.concat(parts, axis=1)

    def _lookup(self, table: str, rows: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.tables[table], rows)

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


def _attends(feature: Feature) -> TypeGuard[SequenceFeature]:
    return isinstance(feature, SequenceFeature) and feature.pooling == "attention"


def _values(ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
    """(V,), of a padded list with what fills it up."""
    return ids.values if isinstance(ids, tf.RaggedTensor) else tf.reshape(ids, [-1])


def _num_rows(ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
    return ids.nrows(tf.int32) if isinstance(ids, tf.RaggedTensor) else tf.shape(ids)[0]
