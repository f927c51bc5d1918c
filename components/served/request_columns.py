"""Columns of the log that the served version's requests hold."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from taskroute.components.served import registry
from taskroute.schemas.columns import RawColumn, feature_columns, stored_for_served
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.serving import ModelInfo
from taskroute.schemas.warm_start import WarmStartRecord


def served_columns(serving: str | Path) -> tuple[RawColumn, ...]:
    """Columns that the served version reads; none where nothing serves, or it does not say.

    Versions that do not say it themselves may have a record to warm-start from, with their config.

    Raises:
        UserError: If the pointer cannot be understood.
    """
    pointer = registry.latest(serving)
    if pointer is None:
        return ()
    info = ModelInfo.find(Path(serving, pointer.path))
    if info is not None and info.columns:
        return tuple(
            RawColumn(column.name, column.kind, column.separator, "no_file")
            for column in info.columns
        )
    folder = registry.warm_starts(serving).get(pointer.version)
    record = None if folder is None else WarmStartRecord.find(folder)
    if record is None:
        return ()
    try:
        config = ModelConfig.model_validate_json(record.config)
    except ValidationError:
        return ()
    return tuple(
        RawColumn(column.name, column.kind, column.separator, "no_file")
        for column in feature_columns(config)
    )


def with_served_columns(columns: Sequence[RawColumn], serving: str | Path) -> tuple[RawColumn, ...]:
    """Adds the columns that only the served version reads: the baseline is scored with them.

    A column that both read, but as different kinds, is stored a second time.
    """
    known = {column.name: (column.kind, column.separator) for column in columns}
    added = []
    for column in served_columns(serving):
        own = known.get(column.name)
        if own is not None and own != (column.kind, column.separator):
            name = stored_for_served(column.name, column.kind)
            added.append(replace(column, stored_as=name))
        elif own is None:
            added.append(column)
    return (*columns, *added)
