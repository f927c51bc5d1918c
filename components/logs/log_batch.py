"""Batches of rows of a log file, and a reader of their columns that notes bad rows."""

import difflib
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.components.logs import conversions, timestamps
from taskroute.components.logs.bad_rows import BadRow, BadValues, shorten
from taskroute.components.logs.log_files import NOT_UTF8
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError

ColumnT = TypeVar("ColumnT", pa.Array, np.ndarray)


@dataclass(frozen=True)
class LogBatch:
    """Rows of a file, in its order, with the columns as the file has them.

    `rows` holds their numbers in the file, (N,) int64, from 1; `passed_over` the unreadable rows
    beside them; `num_counted` the number of both, counted apart from the parser where that is
    possible. `decimal` is the mark before the decimals of numbers in text; `lacking` the columns
    that the file does not have, which are null.
    """

    file: str
    rows: np.ndarray = field(repr=False)
    values: pa.RecordBatch = field(repr=False)
    passed_over: tuple[BadRow, ...] = ()
    num_counted: int = -1
    decimal: str = "."
    lacking: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.num_counted < 0:
            object.__setattr__(self, "num_counted", self.num_rows + len(self.passed_over))

    @property
    def num_rows(self) -> int:
        return self.values.num_rows

    def without_bad_bytes(self, encoding: str = "UTF-8") -> "LogBatch":
        """Passes over the rows with text that was not in the encoding; see `TextStream`."""
        is_good = np.ones(self.num_rows, bool)
        passed_over = list(self.passed_over)
        for column, values in zip(self.values.schema.names, self.values.columns, strict=True):
            bad = is_good & _has_bad_bytes(values)
            is_good &= ~bad
            passed_over += [
                BadRow(
                    self.file, row, "not_utf8", column, f"is not {encoding} text", shorten(value)
                )
                for row, value in zip(
                    self.rows[bad].tolist(), values.filter(pa.array(bad)).to_pylist(), strict=True
                )
            ]
        passed_over.sort(key=lambda bad: bad.row)
        values = self.values.filter(pa.array(is_good))
        return replace(self, rows=self.rows[is_good], values=values, passed_over=tuple(passed_over))

    def with_lacking(self, names: Sequence[str]) -> "LogBatch":
        """Adds columns that the file does not have."""
        if not names:
            return self
        columns = dict(zip(self.values.schema.names, self.values.columns, strict=True))
        columns |= {name: pa.nulls(self.num_rows) for name in names}
        return replace(self, values=pa.RecordBatch.from_pydict(columns), lacking=tuple(names))


class RowCheck:
    """Reads the columns of a batch one after the other and notes bad rows.

    Where all rows are good this costs nothing; else a column is read again without its bad rows.
    A result has an entry for every row of the batch; entries of bad rows mean nothing.
    """

    def __init__(self, batch: LogBatch):
        self.batch = batch
        self.is_good = np.ones(batch.num_rows, bool)
        self._bad_rows = list(batch.passed_over)

    @property
    def bad_rows(self) -> list[BadRow]:
        """Distinct bad rows so far, in file order."""
        return sorted(self._bad_rows, key=lambda bad: bad.row)

    def read(
        self,
        column: str,
        convert: Callable[[pa.Array], ColumnT],
        values: pa.Array | None = None,
    ) -> ColumnT:
        """Converts a column.

        Args:
            column: Name of the column.
            convert: Conversion; raises BadValues, one reason at a time.
            values: (N,) Values in place of the file's own.

        Returns:
            (N,) Result of `convert`; null or 0 where it refused the value.

        Raises:
            DataError: If the column as a whole is of another type.
        """
        values = self.batch.values[column] if values is None else values
        good: np.ndarray | None = None
        while True:
            try:
                result = convert(values if good is None else values.take(pa.array(good)))
            except BadValues as error:
                if error.rows is None:
                    raise DataError(
                        f"{self.batch.file}: column '{column}': {error.problem}"
                    ) from None
                if good is None:
                    good = np.arange(self.batch.num_rows)
                self._note(good[error.rows], column, error)
                good = np.delete(good, error.rows)
            else:
                return result if good is None else _spread(result, good, self.batch.num_rows)

    def convert(self, columns: Sequence[RawColumn]) -> pa.RecordBatch:
        """Columns as list arrays, from `conversions.convert`."""
        arrays = [
            self.read(
                column.name, partial(conversions.convert, column=column, decimal=self.batch.decimal)
            )
            for column in columns
        ]
        return pa.RecordBatch.from_arrays(arrays, [column.name for column in columns])

    def seconds(self, column: str, form: str | None = None) -> np.ndarray:
        """(N,) int64, a timestamp column in seconds since 1970; see `timestamps.to_seconds`."""
        return self.read(column, partial(timestamps.to_seconds, form=form))

    def keys(self, column: str) -> pa.Array:
        """(N,) string, a split key; null in bad rows only."""
        return self.read(column, conversions.to_key)

    def _note(self, rows: np.ndarray, column: str, error: BadValues) -> None:
        rows = rows[self.is_good[rows]]
        self.is_good[rows] = False
        raw = _to_list(self.batch.values[column].take(pa.array(rows)))
        self._bad_rows += [
            BadRow(self.batch.file, row, error.reason, column, error.problem, shorten(value))
            for row, value in zip(self.batch.rows[rows].tolist(), raw, strict=True)
        ]


def lacking_columns(
    file: str, columns: Sequence[RawColumn], present: Collection[str]
) -> tuple[str, ...]:
    """Names of the columns that a file does not have, each once.

    Raises:
        DataError: If it must have one of them, has two of a name, or has none of the columns.
    """
    names = dict.fromkeys(column.name for column in columns)
    lacking = tuple(name for name in names if name not in present)
    needed = [column.name for column in columns if column.need == "every_file"]
    require_columns(file, needed if len(lacking) < len(names) else list(names), present)
    require_columns(file, [name for name in names if name not in lacking], present)
    return lacking


def _to_list(values: pa.Array) -> list[Any]:
    """Values of Python; numbers for times that Python cannot hold."""
    try:
        return values.to_pylist()
    except (OverflowError, ValueError):
        return values.view(pa.int32() if values.type.bit_width == 32 else pa.int64()).to_pylist()


def require_columns(where: str, wanted: Sequence[str], present: Collection[str]) -> None:
    """Refuses a file, or a log, that lacks a column or has two of its name.

    Raises:
        DataError: If it does; names the column, and the closest name in the file.
    """
    for name in wanted:
        if name not in present:
            by_lower = {other.strip().lower(): other for other in present}
            close = difflib.get_close_matches(name.lower(), by_lower, n=1)
            hint = f"; did you mean {by_lower[close[0]]!r}?" if close else ""
            if close and _composed(by_lower[close[0]]) == _composed(name):
                hint += " It has other Unicode characters that look the same: copy it from there"
            raise DataError(f"{where}: there is no column '{name}'{hint}")
        if list(present).count(name) > 1:
            raise DataError(f"{where}: column '{name}' occurs more than once; rename one of them")


def _composed(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _has_bad_bytes(values: pa.Array) -> np.ndarray:
    if pa.types.is_string(values.type):
        return np.asarray(pc.fill_null(pc.match_substring(values, NOT_UTF8), False))
    if not pa.types.is_list(values.type) or not pa.types.is_string(values.type.value_type):
        return np.zeros(len(values), bool)
    terms = _has_bad_bytes(values.flatten())
    rows = np.asarray(pc.list_parent_indices(values))
    return np.bincount(rows, terms, len(values)) > 0


def _spread(result: ColumnT, good: np.ndarray, num_rows: int) -> ColumnT:
    """Puts the result of the `good` rows at their places among all rows."""
    if isinstance(result, np.ndarray):
        spread = np.zeros(num_rows, result.dtype)
        spread[good] = result
        return spread
    places = np.zeros(num_rows, np.int64)
    places[good] = np.arange(len(good))
    is_bad = np.ones(num_rows, bool)
    is_bad[good] = False
    return result.take(pa.array(places, mask=is_bad))
