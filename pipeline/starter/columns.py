"""Columns of a log, as far as a sample of its rows shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.components.logs import conversions, log_reader, sampling, timestamps
from taskroute.components.logs.bad_rows import BadValues
from taskroute.components.logs.log_batch import LogBatch
from taskroute.components.logs.log_reader import LogFormat
from taskroute.components.logs.sampling import Sample
from taskroute.schemas.columns import RawColumn

# First seconds of the years that rows of a log may be from; numbers outside are no epochs.
_EPOCHS = tuple(datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2000, 2100))
_SEPARATORS = ("|", ";", ",")
_DIGITS_AFTER_ZERO = r"^0\d"


@dataclass(frozen=True)
class LogColumn:
    """One column of the sample.

    Attributes:
        name: Name in the log.
        lists: list<string> (N,), every value as text, split at `separator`; null where missing.
        separator: Separator of the terms in one text; None where a text is one term.
        is_list: True if rows may hold several terms.
        has_objects: True if a value is an object or cannot be read; nothing else is known then.
        numbers: float64 (N,), NaN where missing; None if a value is no number.
        seconds: int64 (N,) since 1970; None if a value is missing or no time of these years.
    """

    name: str
    lists: pa.Array
    separator: str | None = None
    is_list: bool = False
    has_objects: bool = False
    numbers: np.ndarray | None = None
    seconds: np.ndarray | None = None

    @property
    def num_rows(self) -> int:
        return len(self.lists)

    @property
    def num_missing(self) -> int:
        return self.lists.null_count

    @property
    def terms(self) -> pa.Array:
        """Distinct terms."""
        return self.lists.flatten().unique()

    @property
    def has_leading_zeros(self) -> bool:
        """True if a term is a code, such as 00713, and no number."""
        return bool(pc.any(pc.match_substring_regex(self.terms, _DIGITS_AFTER_ZERO)).as_py())


@dataclass(frozen=True)
class LogSample:
    """Rows from all over a log.

    Attributes:
        columns: Columns by name, in the order of the log.
        rows: Rows as they were read.
    """

    columns: dict[str, LogColumn]
    rows: Sample

    @property
    def num_rows(self) -> int:
        """Number of readable rows."""
        return sum(batch.num_rows for batch in self.rows.batches)


def read_columns(files: Sequence[str], log_format: LogFormat) -> LogSample:
    """Reads rows from all over a log, every column of its first and its last file.

    Raises:
        DataError: If a file cannot be read, or lacks a column of the others.
    """
    names = [name for file in (files[0],) for name in log_reader.column_names(file, log_format)]
    wanted = [RawColumn(name, "texts") for name in dict.fromkeys(names)]
    sample = sampling.read_sample(files, wanted, log_format)
    return LogSample({each.name: _column(each.name, sample.batches) for each in wanted}, sample)


def _column(name: str, batches: Sequence[LogBatch]) -> LogColumn:
    parts, is_list = [], False
    try:
        for batch in batches:
            values = conversions.plain(batch.values[name])
            parts.append(conversions.convert(values, RawColumn(name, "texts")))
            kind = values.type
            is_list |= not conversions.is_text(kind) and not conversions.is_scalar(kind)
    except BadValues:
        nothing = pa.nulls(sum(batch.num_rows for batch in batches), pa.list_(pa.binary()))
        return LogColumn(name, nothing, has_objects=True)
    lists = _as_texts(pa.concat_arrays(parts) if parts else pa.nulls(0, pa.list_(pa.binary())))
    most = pc.max(pc.list_value_length(lists)).as_py() or 0
    if is_list or most > 1:
        return LogColumn(name, lists, is_list=True)
    texts = pc.list_element(lists, 0) if most else pa.nulls(len(lists), pa.string())
    separator = _separator(texts)
    if separator is not None:
        return LogColumn(name, _split(texts, separator), separator, is_list=True)
    return LogColumn(name, lists, numbers=_numbers(texts), seconds=_seconds(texts))


def _as_texts(lists: pa.Array) -> pa.Array:
    return lists.cast(pa.list_(pa.string()))


def _separator(texts: pa.Array) -> str | None:
    """Separator of terms that several texts share; None where each text is one term."""
    distinct = texts.drop_null().unique()
    for separator in _SEPARATORS:
        terms = pc.split_pattern(distinct, separator)
        if len(terms.flatten()) > len(distinct) and len(terms.flatten().unique()) < len(distinct):
            return separator
    return None


def _split(texts: pa.Array, separator: str) -> pa.Array:
    return _as_texts(conversions.convert(texts, RawColumn("", "texts", separator)))


def _numbers(texts: pa.Array) -> np.ndarray | None:
    """float64 (N,); None if a text is no number, or all are missing."""
    if texts.null_count == len(texts):
        return None
    try:
        numbers = conversions.to_number(texts)
    except BadValues:
        return None
    return numbers.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _seconds(texts: pa.Array) -> np.ndarray | None:
    try:
        seconds = timestamps.to_seconds(texts)
    except BadValues:
        return None
    since, until = _EPOCHS
    is_time = len(seconds) > 0 and since <= seconds.min() and seconds.max() < until
    return seconds if is_time else None
