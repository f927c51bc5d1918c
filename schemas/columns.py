"""Columns of the log that a config reads, and their kinds."""

from dataclasses import dataclass

from taskroute.schemas.features import ColumnKind, ListFeature
from taskroute.schemas.recommender import DataConfig


@dataclass(frozen=True)
class RawColumn:
    """One column of the log; `separator` splits the text of a `texts` column that is no list."""

    name: str
    kind: ColumnKind
    separator: str | None = None


def feature_columns(config: DataConfig) -> tuple[RawColumn, ...]:
    """Columns that features read, each once: those of a serving request."""
    columns: dict[str, RawColumn] = {}
    for feature in config.features:
        separator = feature.separator if isinstance(feature, ListFeature) else None
        column = RawColumn(feature.column, feature.column_kind, separator)
        columns.setdefault(feature.column, column)
    return tuple(columns.values())


def label_columns(config: DataConfig) -> tuple[RawColumn, ...]:
    """Columns that labels and weights of tasks read, each once."""
    names = dict.fromkeys(task.label.column for task in config.tasks)
    names |= dict.fromkeys(task.weight for task in config.tasks if task.weight is not None)
    return tuple(RawColumn(name, "number") for name in names)


def raw_columns(config: DataConfig) -> tuple[RawColumn, ...]:
    """Columns that a tf.Example holds."""
    return (*feature_columns(config), *label_columns(config))
