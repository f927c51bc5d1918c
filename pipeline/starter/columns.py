"""Columns of a log, as far as a sample of its rows shows them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.components.logs import conversions, log_reader, sampling, timestamps
from taskroute.components.logs.bad_rows import BadValues
from taskroute.components.logs.log_batch import LogBatch
from taskroute.components.logs.log_reader import LogFormat
from taskroute.components.logs.sampling import Sample
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.source import Csv

# First seconds of the years that rows of a log may be from; numbers outside are no epochs.
_EPOCHS = tuple(datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2000, 2100))
# Unreadable values that make no column of numbers one of texts, or one in a thousand.
_FEW_BAD = 2
_YES_AND_NO = (
    ("yes", "no"), ("y", "n"), ("t", "f"), ("ja", "nein"), ("j", "n"), ("oui", "non"), ("o", "n"),
    ("si", "no"), ("sí", "no"), ("s", "n"), ("sim", "não"), ("sì", "no"), ("ja", "nee"),
    ("да", "нет"), ("はい", "いいえ"), ("有", "無"), ("是", "否"), ("有", "无"), ("예", "아니오"),
    ("wahr", "falsch"), ("vrai", "faux"), ("verdadero", "falso"), ("on", "off"),
)  # fmt: skip
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
        numbers: float64 (N,), NaN where missing or unreadable; None if more than a few of the
            values are no numbers.
        num_unreadable: Number of values that are no numbers or no times, where the others are.
        yes: Term that stands for 1, of a column of two such as yes and no.
        seconds: int64 (N,) since 1970, 0 where unreadable; None if a value is missing, or more
            than a few are no time of these years.
        has_times: True if nearly all values are times, whether or not some are missing.
    """

    name: str
    lists: pa.Array
    separator: str | None = None
    is_list: bool = False
    has_objects: bool = False
    numbers: np.ndarray | None = None
    num_unreadable: int = 0
    yes: str | None = None
    seconds: np.ndarray | None = None
    has_times: bool = False

    @property
    def amounts(self) -> np.ndarray:
        """float64 (N,), `numbers`; NaN in every row if the column has none."""
        return np.full(self.num_rows, np.nan) if self.numbers is None else self.numbers

    @property
    def known(self) -> np.ndarray:
        """float64, numbers of the rows that have one."""
        return self.amounts[~np.isnan(self.amounts)]

    @cached_property
    def flags(self) -> np.ndarray | None:
        """float64 (N,) of 0 and 1, NaN where missing; None if the column is no flag."""
        if self.yes is not None:
            texts = pc.list_element(self.lists, 0)
            return pc.equal(texts, self.yes).cast(pa.float64()).to_numpy(zero_copy_only=False)
        if self.numbers is None:
            return None
        known = self.known
        is_flag = (known == 0) | (known == 1)
        if (
            _too_many(int(np.count_nonzero(~is_flag)), len(known))
            or len(np.unique(known[is_flag])) < 2
        ):
            return None
        return np.where((self.numbers == 0) | (self.numbers == 1), self.numbers, np.nan)

    @property
    def num_rows(self) -> int:
        return len(self.lists)

    @property
    def num_missing(self) -> int:
        return self.lists.null_count

    @cached_property
    def terms(self) -> pa.Array:
        """Distinct terms."""
        return self.lists.flatten().unique()

    @cached_property
    def codes(self) -> np.ndarray:
        """int64 (N,), a number for each text; -1 where missing. Not for lists."""
        texts = pc.list_element(self.lists, 0)
        codes = pc.fill_null(texts.dictionary_encode().indices, -1)
        return np.asarray(codes).astype(np.int64)

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


def read_columns(files: Sequence[str], log_format: LogFormat, form: Csv) -> LogSample:
    """Reads rows from all over a log, every column that a file of the sample has.

    Raises:
        DataError: If a file cannot be read.
    """
    names: dict[str, None] = {}
    for file in sampling.some_files(files):
        names |= dict.fromkeys(log_reader.column_names(file, log_format, form))
    wanted = [RawColumn(name, "texts", need="no_file") for name in names]
    sample = sampling.read_sample(files, wanted, log_format, form=form)
    return LogSample({name: _column(name, sample.batches, form.decimal) for name in names}, sample)


def _column(name: str, batches: Sequence[LogBatch], decimal: str) -> LogColumn:
    parts, is_list = [], False
    try:
        for batch in batches:
            values = conversions.plain(batch.values[name])
            parts.append(_lists(values))
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
    column = _of_single_terms(name, lists, texts, decimal)
    is_text = column.numbers is None and not column.has_times
    separator = _separator(texts) if is_text else None
    if separator is not None:
        return LogColumn(name, _split(texts, separator), separator, is_list=True)
    return column


def _of_single_terms(name: str, lists: pa.Array, texts: pa.Array, decimal: str) -> LogColumn:
    numbers, not_numbers = _read_most(texts, partial(_to_numbers, decimal=decimal))
    if numbers is None:
        not_numbers = 0
    seconds, not_times = _read_most(texts, timestamps.to_seconds)
    if seconds is not None and not _are_of_these_years(seconds):
        seconds = None
    return LogColumn(
        name,
        lists,
        numbers=numbers,
        num_unreadable=not_numbers if seconds is None else not_times,
        yes=None if numbers is not None else _yes(texts),
        seconds=None if texts.null_count else seconds,
        has_times=seconds is not None,
    )


def _lists(values: pa.Array) -> pa.Array:
    """Values as lists of texts; a few that cannot be read are null.

    Raises:
        BadValues: If more than a few cannot be read.
    """
    num_known, is_bad = len(values) - values.null_count, np.zeros(len(values), bool)
    while True:
        try:
            return conversions.convert(values, RawColumn("", "texts"))
        except BadValues as error:
            if error.rows is None:
                raise
            is_bad[error.rows] = True
            if _too_many(int(np.count_nonzero(is_bad)), num_known):
                if not conversions.is_text(values.type):
                    raise
                # Texts in brackets that are no lists.
                return conversions.convert(values, RawColumn("", "text"))
            values = values.take(pa.array(np.arange(len(values)), mask=is_bad))


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


def _too_many(num_bad: int, num_known: int) -> bool:
    """True if more values are bad than the slips that a log of such values has."""
    return num_bad > max(_FEW_BAD, num_known // 1000) or 2 * num_bad >= num_known


def _read_most(
    texts: pa.Array, read: Callable[[pa.Array], np.ndarray]
) -> tuple[np.ndarray | None, int]:
    """Reads texts of which a few may be bad.

    Returns:
        Values of all rows, of missing and bad ones 0 or NaN, and the number of bad ones; None for
        the values if there are too many.
    """
    places = np.flatnonzero(np.asarray(texts.is_valid()))
    num_known = len(places)
    if not num_known:
        return None, 0
    while True:
        try:
            values = read(texts.take(pa.array(places)))
        except BadValues as error:
            if error.rows is None or _too_many(
                num_known - len(places) + len(error.rows), num_known
            ):
                return None, 0
            places = np.delete(places, error.rows)
        else:
            filled = np.full(len(texts), np.nan if values.dtype.kind == "f" else 0, values.dtype)
            filled[places] = values
            return filled, num_known - len(places)


def _to_numbers(texts: pa.Array, decimal: str) -> np.ndarray:
    return np.asarray(conversions.to_number(texts, decimal).cast(pa.float64()))


def _are_of_these_years(seconds: np.ndarray) -> bool:
    """True for times, but for those of missing and bad values, which are 0."""
    since, until = _EPOCHS
    known = seconds[seconds != 0]
    return len(known) > 0 and since <= known.min() and known.max() < until


def _yes(texts: pa.Array) -> str | None:
    terms = {term.strip().lower(): term for term in texts.drop_null().unique()[:3].to_pylist()}
    pair = next((pair for pair in _YES_AND_NO if set(pair) == set(terms)), None)
    return terms[pair[0]] if pair else None
