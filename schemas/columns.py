"""Which columns of the log a config reads, and as what kind."""

from dataclasses import dataclass
from typing import Literal

from taskroute.schemas.features import MultivalentFeature
from taskroute.schemas.recommender import DataConfig

# text: at most one string. texts: a list of strings. number: at most one float.
ColumnKind = Literal["text", "texts", "number"]

_KIND_OF_FEATURE: dict[str, ColumnKind] = {
    "categorical": "text",
    "multivalent": "texts",
    "dense": "number",
    "bucket": "number",
}


@dataclass(frozen=True)
class RawColumn:
    """One column of the log; `separator` splits the text of a `texts` column that is no list."""

    name: str
    kind: ColumnKind
    separator: str | None = None


def feature_columns(config: DataConfig) -> tuple[RawColumn, ...]:
    """Columns that features read, each once: what a serving request holds."""
    columns: dict[str, RawColumn] = {}
    for feature in config.features:
        separator = feature.separator if isinstance(feature, MultivalentFeature) else None
        columns.setdefault(
            feature.column, RawColumn(feature.column, _KIND_OF_FEATURE[feature.kind], separator)
        )
    return tuple(columns.values())


def label_columns(config: DataConfig) -> tuple[RawColumn, ...]:
    """Columns that labels read, each once."""
    names = dict.fromkeys(task.label.column for task in config.tasks)
    return tuple(RawColumn(name, "number") for name in names)


def raw_columns(config: DataConfig) -> tuple[RawColumn, ...]:
    """Columns that a tf.Example holds."""
    return (*feature_columns(config), *label_columns(config))
