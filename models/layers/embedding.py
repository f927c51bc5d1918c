"""From transformed features to one vector a row.

Shape letters: B batch, V values of all rows together, H rows of a table that a value has, K width
of such a row, W of an embedding: H rows together.
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
    """Where a feature's embeddings are in the table of their width.

    Id i is row `first + i`. With salts it is as many rows, each `first` and a hash of i by one of
    the salts (`hashing.hashed_rows`), and its embedding is these rows one after the other.

    Attributes:
        width: K of the table, whose weight is `table_<width>`.
        first: Row of id 0, which is the missing value; with salts, the first of all rows.
        number: Of rows; without salts, of ids.
        salts: One for each row of an id.
    """

    width: int
    first: int
    number: int
    salts: tuple[int, ...] = ()

    @property
    def per_id(self) -> int:
        """H: rows of an id."""
        return len(self.salts) or 1

    @property
    def embedded_width(self) -> int:
        """W of an embedding."""
        return self.width * self.per_id

    def find(self, ids: tf.Tensor) -> tf.Tensor:
        """The rows (V, H) of the table that int64 (V,) ids have."""
        if self.salts:
            return hashed_rows(ids, self.salts, self.number) + self.first
        return ids[:, tf.newaxis] + self.first


def table_rows(
    features: Sequence[Feature], num_ids: Mapping[str, int], tables: Sequence[EmbeddingTable] = ()
) -> dict[str, TableRows]:
    """The rows of each feature with ids, by its name.

    A table of the model holds all rows of one width, one feature after the other in their order;
    those of a table that features have in common stand where the first of these features does. A
    feature that shares another's ids has the other's rows.

    Args:
        features: Of one model.
        num_ids: Number of ids of each feature that has any, by name.
        tables: Those that features name as theirs.

    Raises:
        ValueError: If a feature with ids is not in `num_ids`, or one that is shared not there, or
            the table of one.
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
    """Puts as many more rows into the table of a width, and returns the first of them."""
    first = heights.get(width, 0)
    heights[width] = first + number
    return first


class FeatureEmbedding(keras.layers.Layer):
    """Embeds ids, pools lists of them, and puts numbers beside them.

    Rows of equal width are in one table, each feature's at their place (`table_rows`), so that a
    batch costs one gather and one sparse update a width, however many features and hashes.

    Args:
        features: What the rows hold.
        num_ids: Number of ids of each feature that has any, by name.
        tables: Those that features name as theirs.

    Call arguments:
        inputs: By feature name: int64 (B,) ids; for features of lists a ragged int64 (B, values),
            or a dense one filled up with 0; float32 (B,) for numbers and for their missing flags.
        lookup: From a key of `tables` and int64 (V,) rows to (V, K), in the place of the tables.

    Returns:
        (B, D): the embeddings by width of their rows, in each those of features of one term before
        those of lists (`pooling.pool`), each in the features' order; then the numbers and their
        flags.

    Raises:
        ValueError: If a feature with ids is not in `num_ids`, or one that is shared not there, or
            the table of one.
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
        """D, which follows from the features alone."""
        return sum(self.embedded_widths) + 2 * len(self.dense)

    @property
    def embedded_widths(self) -> list[int]:
        """W of each feature that has embeddings; they come before the numbers."""
        return [
            self.rows[feature.name].embedded_width
            for features in self._by_width.values()
            for feature in features
        ]

    def macs(self) -> int:
        """Multiply-accumulates for one row at most: those of attention; a lookup has none."""
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
            found = [self.rows[f.name].find(inputs[f.name]) for f in single]
            flat.insert(0, tf.reshape(tf.concat(found, axis=1), [-1]))
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
    """(V,), of a padded list with what fills it up."""
    return ids.values if isinstance(ids, tf.RaggedTensor) else tf.reshape(ids, [-1])


def _num_rows(ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
    return ids.nrows(tf.int32) if isinstance(ids, tf.RaggedTensor) else tf.shape(ids)[0]
