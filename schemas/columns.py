"""Columns of the log that a config reads, and their kinds."""

from dataclasses import dataclass, replace
from typing import Literal

from taskroute.schemas.features import ColumnKind, ListFeature
from taskroute.schemas.input_names import input_names
from taskroute.schemas.recommender import DataConfig
from taskroute.schemas.serving import RequestColumn

# Files of a log that must have a column: each, at least one, or none.
Need = Literal["every_file", "some_file", "no_file"]


@dataclass(frozen=True)
class RawColumn:
    """One column of the log.

    Attributes:
        name: Name in the log; `user.id` is also the field `id` of objects in `user`.
        kind: Kind of its values.
        separator: Separator of the terms in the text of a `texts` column that is no list.
        need: Files that must have it; in others it is missing in every row.
        stored_as: Name in raw examples, where that is another.
    """

    name: str
    kind: ColumnKind
    separator: str | None = None
    need: Need = "some_file"
    stored_as: str | None = None

    @property
    def stored(self) -> str:
        """Name in raw examples."""
        return self.stored_as or self.name


def stored_for_served(name: str, kind: ColumnKind) -> str:
    """Name in raw examples of a column that the served version reads in another way."""
    return f"{name} as {kind} of the served version"


def feature_columns(config: DataConfig) -> tuple[RawColumn, ...]:
    """Columns that features read, each once: those of a serving request."""
    columns: dict[str, RawColumn] = {}
    for feature in config.features:
        separator = feature.separator if isinstance(feature, ListFeature) else None
        column = RawColumn(feature.column, feature.column_kind, separator)
        column = columns.setdefault(feature.column, column)
        if feature.required:
            columns[feature.column] = replace(column, need="every_file")
    return tuple(columns.values())


def request_columns(config: DataConfig) -> tuple[RequestColumn, ...]:
    """Columns of a serving request, with their names as inputs of `raw_features`."""
    columns = feature_columns(config)
    inputs = input_names(column.name for column in columns)
    return tuple(
        RequestColumn(
            name=column.name,
            input=inputs[column.name],
            kind=column.kind,
            separator=column.separator,
        )
        for column in columns
    )


def label_columns(config: DataConfig) -> tuple[RawColumn, ...]:
    """Columns that labels and weights of tasks read, each once."""
    kinds: dict[str, ColumnKind] = {}
    for task in config.tasks:
        kinds.setdefault(task.label.column, "text" if task.label.texts else "number")
    for task in config.tasks:
        if task.weight is not None:
            kinds.setdefault(task.weight, "number")
    return tuple(RawColumn(name, kind) for name, kind in kinds.items())


def raw_columns(config: DataConfig) -> tuple[RawColumn, ...]:
    """Columns that a tf.Example holds."""
    return (*feature_columns(config), *label_columns(config))
