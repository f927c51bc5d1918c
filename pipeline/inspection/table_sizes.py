"""Sizes and suggested widths of a config's embedding tables."""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass

from taskroute.schemas.features import BucketFeature, DenseFeature, IdFeature, ids_owner
from taskroute.schemas.recommender import RecommenderConfig

# A float32 weight and its Adagrad accumulator.
_BYTES_PER_WEIGHT = 8

_WIDTHS = (4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Rows:
    """Rows of one feature's table, or of one table that features share.

    Attributes:
        number: Number of rows.
        width: Width of an embedding.
        suggested: Width that suits the number of terms.
        num_bytes: Bytes of all rows and the optimizer's state.
    """

    number: int
    width: int
    suggested: int
    num_bytes: int


@dataclass(frozen=True)
class TableSize:
    """One line of the table of embeddings that `taskroute check` prints.

    Attributes:
        name: Name of the feature, or of a table that features share.
        terms: Number of distinct terms of all features that use the rows; None where numbers fall
            into buckets.
        rows: Rows of its own; or the name of the feature or table whose rows it uses.
    """

    name: str
    terms: int | None
    rows: Rows | str


def table_sizes(config: RecommenderConfig, seen: Mapping[str, Set[bytes]]) -> list[TableSize]:
    """Sizes for the terms `seen` in each column: features in their order, then tables."""
    terms: dict[str, set[bytes]] = {}
    for feature in config.features:
        if isinstance(feature, IdFeature):
            owner = ids_owner(feature, config.features)
            terms.setdefault(owner.name, set()).update(seen[feature.column])
    sizes: list[TableSize] = []
    in_tables: Counter[str] = Counter()
    for feature in config.features:
        match feature:
            case DenseFeature():
                continue
            case BucketFeature():
                number = feature.num_buckets
                rows = _rows(number + 1, feature.embedding_dim, number)
                sizes.append(TableSize(feature.name, None, rows))
            case _ if feature.shares is not None:
                sizes.append(TableSize(feature.name, len(seen[feature.column]), feature.shares))
            case _ if feature.table is not None:
                count = len(terms[feature.name])
                in_tables[feature.table] += count
                sizes.append(TableSize(feature.name, count, f"table {feature.table}"))
            case _:
                count = len(terms[feature.name])
                rows = _rows(_num_ids(feature, count), feature.embedding_dim or 0, count)
                sizes.append(TableSize(feature.name, count, rows))
    for table in config.tables:
        count = in_tables[table.name]
        rows = _rows(table.rows, table.embedding_dim, count, table.num_hashes)
        sizes.append(TableSize(f"table {table.name}", count, rows))
    return sizes


def suggested_width(num_terms: int) -> int:
    """Smallest power of two above twice the fourth root of the number of terms, 4 to 128.

    The fourth root is the rule of thumb of "Introducing TensorFlow Feature Columns", 2017. A power
    of two, because rows of one width are looked up together.
    """
    wanted = 2 * num_terms**0.25
    return next((width for width in _WIDTHS if width >= wanted), _WIDTHS[-1])


def _rows(number: int, width: int, num_terms: int, num_hashes: int = 1) -> Rows:
    num_bytes = number * width // num_hashes * _BYTES_PER_WEIGHT
    return Rows(number, width, suggested_width(num_terms), num_bytes)


def _num_ids(feature: IdFeature, num_terms: int) -> int:
    """Number of a feature's ids, with that of a missing value."""
    if feature.vocabulary is None:
        return 1 + (feature.hash_buckets or 0)
    terms = min(num_terms, feature.vocabulary.max_size or num_terms)
    return 1 + terms + feature.vocabulary.oov_buckets
