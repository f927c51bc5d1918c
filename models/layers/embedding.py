"""Embedding layer: from transformed features to one vector a row.

Shape letters: B batch, V values of all rows together, H table rows of a value, K width of a table
row, W = H * K width of an embedding.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.hashing import hashed_rows, make_salt
from taskroute.models.layers.pooling import pool
from taskroute.schemas.embedding_tables import EmbeddingTable, table_named
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
    """Rows of a feature's embeddings in the table of their width.

    Id i is row `first + i`. With salts it has one row for each: `first` plus a hash of i by the
    salt (`hashing.hashed_rows`); its embedding is these rows one after the other.

    Attributes:
        width: Width of the table's rows, K; its weight is `table_<width>`.
        first: Row of id 0, the missing value; with salts, the first of all rows.
        number: Number of rows; without salts also that of ids.
        salts: Salts, one for each row of an id.
    """

    width: int
    first: int
    number: int
    salts: tuple[int, ...] = ()

    @property
    def per_id(self) -> int:
        """Number of rows of an id, H."""
        return len(self.salts) or 1

    @property
    def embedded_width(self) -> int:
        """Width of an embedding, W."""
        return self.width * self.per_id

    def find(self, ids: tf.Tensor) -> tf.Tensor:
        """Finds the table rows (V, H) of int64 (V,) ids."""
        if self.salts:
            return hashed_rows(ids, self.salts, self.number) + self.first
        return ids[:, tf.newaxis] + self.first


def table_rows(
    features: Sequence[Feature], num_ids: Mapping[str, int], tables: Sequence[EmbeddingTable] = ()
) -> dict[str, TableRows]:
    """Assigns table rows to each feature with ids, by its name.

    A weight holds all rows of one width, feature after feature; a table that features share stands
    at the first of these features. A feature that shares another's ids has the other's rows.

    Args:
        features: Features of one model.
        num_ids: Number of ids of each feature with ids, by name.
        tables: Tables that features name.

    Raises:
        ValueError: If a feature with ids is not in `num_ids`, or a shared feature or a named table
            is missing.
    """
    rows: dict[str, TableRows] = {}
    heights: dict[int, int] = {}
    firsts: dict[str, int] = {}
    embedded = [feature for feature in features if not isinstance(feature, DenseFeature)]
    for feature in embedded:
        if feature.name not in num_ids:
            raise ValueError(
                f"`num_ids` must hold every feature with ids. Received: "
                f"num_ids={dict(num_ids)} without {feature.name!r}"
            )
        if isinstance(feature, IdFeature) and feature.table is not None:
            table = table_named(feature.table, tables)
            if table.name not in firsts:
                firsts[table.name] = _stack(heights, table.row_width, table.rows)
            salts = tuple(make_salt(feature.name, place) for place in range(table.num_hashes))
            rows[feature.name] = TableRows(table.row_width, firsts[table.name], table.rows, salts)
        elif feature.embedding_dim is not None:
            number = num_ids[feature.name]
            first = _stack(heights, feature.embedding_dim, number)
            rows[feature.name] = TableRows(feature.embedding_dim, first, number)
    for feature in embedded:
        if isinstance(feature, IdFeature):
            rows[feature.name] = rows[ids_owner(feature, features).name]
    return rows


def _stack(heights: dict[int, int], width: int, number: int) -> int:
    """Adds rows to the table of a width, and returns the first of them."""
    first = heights.get(width, 0)
    heights[width] = first + number
    return first


class FeatureEmbedding(keras.layers.Layer):
    """Embeds ids, pools lists of them, and appends numbers.

    Rows of equal width are in one table (`table_rows`), so that a batch costs one gather and one
    sparse update a width, however many features and hashes.

    Args:
        features: Features of the model.
        num_ids: Number of ids of each feature with ids, by name.
        tables: Tables that features name.

    Call arguments:
        inputs: Features by name: int64 (B,) ids; for lists a ragged int64 (B, values), or a dense
            one padded with 0; float32 (B,) for numbers and for their missing flags.
        lookup: Replacement of the tables: from a key of `tables` and int64 (V,) rows to (V, K).

    Returns:
        (B, D): embeddings by width of their rows, for each width first single ids, then lists
        (`pooling.pool`), in the features' order; then numbers and their flags.

    Raises:
        ValueError: If a feature with ids is not in `num_ids`, or a shared feature or a named table
            is missing.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        num_ids: Mapping[str, int],
        tables: Sequence[EmbeddingTable] = (),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.features = tuple(features)
        self.num_ids = dict(num_ids)
        self.named_tables = tuple(tables)
        self.rows = table_rows(self.features, self.num_ids, self.named_tables)
        self.dense = [f for f in self.features if isinstance(f, DenseFeature)]
        self._by_width: dict[int, list[Feature]] = {}
        for feature in self.features:
            if not isinstance(feature, DenseFeature):
                self._by_width.setdefault(self.rows[feature.name].width, []).append(feature)

    @property
    def output_width(self) -> int:
        """Width of the output, D."""
        return sum(self.embedded_widths) + 2 * len(self.dense)

    @property
    def embedded_widths(self) -> list[int]:
        """Widths W of the features' embeddings, which come before the numbers."""
        return [
            self.rows[feature.name].embedded_width
            for features in self._by_width.values()
            for feature in features
        ]

    def macs(self) -> int:
        """Multiply-accumulates of a row at most: attention only, since a lookup has none."""
        return sum(
            2 * feature.max_length * self.rows[feature.name].embedded_width
            for feature in self.features
            if _attends(feature)
        )

    def build(self, input_shape: Any = None) -> None:
        self.tables = {}
        self.queries = {}
        for width, features in self._by_width.items():
            all_rows = [self.rows[feature.name] for feature in features]
            self.tables[str(width)] = self.add_weight(
                name=f"table_{width}",
                shape=(max(rows.first + rows.number for rows in all_rows), width),
                initializer=keras.initializers.RandomUniform(-0.05, 0.05),
            )
            single = {feature.name for feature in features if not isinstance(feature, ListFeature)}
            for feature in features:
                if _attends(feature) and feature.shares not in single:
                    # All scores are 0 then: attention begins as the mean.
                    self.queries[feature.name] = self.add_weight(
                        name=f"query_{feature.name}",
                        shape=(self.rows[feature.name].embedded_width,),
                        initializer="zeros",
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
        flat = [tf.reshape(self.rows[f.name].find(_values(inputs[f.name])), [-1]) for f in lists]
        if single:
            single_rows = [self.rows[f.name].find(inputs[f.name]) for f in single]
            flat.insert(0, tf.reshape(tf.concat(single_rows, axis=1), [-1]))
        rows_VK = lookup(str(width), tf.concat(flat, axis=0))
        sizes = [tf.shape(values)[0] for values in flat]
        split = tf.split(rows_VK, sizes) if len(sizes) > 1 else [rows_VK]
        parts: list[tf.Tensor] = []
        by_name: dict[str, tf.Tensor] = {}
        if single:
            widths = [self.rows[f.name].embedded_width for f in single]
            parts.append(tf.reshape(split.pop(0), [-1, sum(widths)]))
            embedded = tf.split(parts[0], widths, axis=1)
            by_name = {f.name: values for f, values in zip(single, embedded, strict=True)}
        for feature, rows in zip(lists, split, strict=True):
            ids, query_BW = inputs[feature.name], None
            embedded_width = self.rows[feature.name].embedded_width
            if feature.name in self.queries:
                query_W = self.queries[feature.name]
                query_BW = tf.broadcast_to(query_W, [_num_rows(ids), embedded_width])
            elif _attends(feature):
                query_BW = by_name[str(feature.shares)]
            rows_VW = tf.reshape(rows, [-1, embedded_width])
            parts.append(pool(rows_VW, ids, feature.pooling, query_BW))
        return tf.concat(parts, axis=1)

    def _lookup(self, table: str, rows: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.tables[table], rows)


def _attends(feature: Feature) -> TypeGuard[SequenceFeature]:
    return isinstance(feature, SequenceFeature) and feature.pooling == "attention"


def _values(ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
    """Values of a list, (V,), with the padding of a dense one."""
    return ids.values if isinstance(ids, tf.RaggedTensor) else tf.reshape(ids, [-1])


def _num_rows(ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
    return ids.nrows(tf.int32) if isinstance(ids, tf.RaggedTensor) else tf.shape(ids)[0]
