"""Timestamp columns of any usual form as seconds since 1970."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.components.logs import conversions
from taskroute.components.logs.bad_rows import BadValues, refuse_where
from taskroute.components.logs.timestamp_forms import (
    EPOCHS,
    read_by_format,
    read_digits,
    to_iso,
    with_zones,
)

# A number's magnitude tells the unit of an epoch: seconds stay below 1e11 until the year 5138.
_EPOCH_UNITS = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (np.inf, 1_000_000_000))

_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800
# Match every text that Arrow reads as the form, and a few more.
_LOCAL = r"^-?\d{4}-\d\d-\d\d([ T][\d:]+)?$"
_ZONED = r"^-?\d{4}-\d\d-\d\d[ T][\d:]+(Z|[+-][\d:]+)$"
_FORMS = (
    (pa.timestamp("s"), _LOCAL),
    (pa.timestamp("s", "UTC"), _ZONED),
    (pa.float64(), conversions.NUMBER),
)


def to_seconds(values: pa.Array, form: str | None = None) -> np.ndarray:
    """Reads a timestamp column as whole seconds since 1970, int64, one a row.

    Takes Arrow timestamps and dates, text (ISO 8601 and what `to_iso` makes of other forms; UTC
    where it names no zone), and numbers or their text: days as 20240301, with the time or without;
    else epochs, below 1e11 in seconds, below 1e14 in milliseconds, below 1e17 in microseconds, else
    in nanoseconds. Fractions of a second are dropped.

    Args:
        values: Column of any type.
        form: Format of its texts and numbers, `source.timestamp_format`; None reads all of the
            above.

    Raises:
        BadValues: If timestamps are missing, cannot be read, or are not within the years 1 to 9999;
            or if the column as a whole holds no timestamps.
    """
    values = conversions.plain(values)
    kind = values.type
    is_typed = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    if form is not None and not is_typed:
        return _by_format(values, form)
    if conversions.is_text(kind):
        return _text_to_seconds(conversions.to_text(values))
    if is_typed:
        conversions.refuse_missing(values)
        return _to_seconds(values)
    if (
        conversions.is_scalar(kind)
        and not pa.types.is_temporal(kind)
        and not pa.types.is_boolean(kind)
    ):
        return _to_seconds(values.cast(pa.float64(), safe=False))
    raise BadValues(
        "wrong_type",
        f"holds {conversions.describe(kind)} where a timestamp is asked for",
        None,
    )


def _text_to_seconds(texts: pa.Array) -> np.ndarray:
    texts = pc.utf8_trim_whitespace(texts)
    conversions.refuse_missing(texts)
    if len(texts) == 0:
        return np.empty(0, np.int64)
    if "." in texts[0].as_py() and ":" in texts[0].as_py():
        texts = _without_fractions(texts)
    for kind, _ in _FORMS:
        times = conversions.cast_all(texts, kind)
        if times is not None:
            return _to_seconds(times)
    texts = _without_fractions(texts)
    for rewrite in (with_zones, to_iso):
        rewritten = rewrite(texts)
        for kind, _ in _FORMS[:2]:
            times = conversions.cast_all(rewritten, kind)
            if times is not None:
                return _to_seconds(times)
    return _mixed_text_to_seconds(rewritten)


def _by_format(values: pa.Array, form: str) -> np.ndarray:
    if form in EPOCHS:
        numbers = np.asarray(_to_doubles(values))
        refuse_where(np.isnan(numbers), "missing", "is missing")
        return _in_range(np.floor(numbers / EPOCHS[form]))
    texts = pc.utf8_trim_whitespace(conversions.to_text(values))
    conversions.refuse_missing(texts)
    return _in_range(read_by_format(texts, form))


def _to_doubles(values: pa.Array) -> pa.Array:
    if not conversions.is_text(values.type):
        doubles = values.cast(pa.float64(), safe=False)
    else:
        texts = pc.utf8_trim_whitespace(conversions.to_text(values))
        conversions.refuse_missing(texts)
        doubles, is_read = conversions.cast_some(texts, pa.float64(), conversions.NUMBER)
        refuse_where(
            ~is_read, "not_a_timestamp", "is not a number, as `source.timestamp_format` says"
        )
    conversions.refuse_missing(doubles)
    return doubles


def _mixed_text_to_seconds(texts: pa.Array) -> np.ndarray:
    seconds = np.zeros(len(texts), np.int64)
    unread = np.arange(len(texts))
    for kind, pattern in _FORMS:
        times, is_read = conversions.cast_some(texts.take(pa.array(unread)), kind, pattern)
        places = unread[is_read]
        # A readable number or date may still be out of range.
        try:
            seconds[places] = _to_seconds(times)
        except BadValues as error:
            raise BadValues(error.reason, error.problem, places[error.rows]) from None
        unread = unread[~is_read]
    if len(unread):
        raise BadValues("not_a_timestamp", "is not a timestamp", unread)
    return seconds


def _without_fractions(texts: pa.Array) -> pa.Array:
    """Drops fractions of a second: Arrow refuses digits that its unit does not have."""
    return pc.replace_substring_regex(texts, r"(:\d\d)[.,]\d+", r"\1")


def _to_seconds(times: pa.Array) -> np.ndarray:
    if pa.types.is_floating(times.type):
        return _epoch_to_seconds(times)
    if pa.types.is_date64(times.type):
        return _in_range(np.asarray(times.cast(pa.int64())) // 1_000)
    if not pa.types.is_timestamp(times.type):
        times = times.cast(pa.timestamp("s"))
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[times.type.unit]
    return _in_range(np.asarray(times.cast(pa.int64())) // per_second)


def _epoch_to_seconds(epochs: pa.Array) -> np.ndarray:
    conversions.refuse_missing(epochs)
    numbers = np.asarray(epochs)
    refuse_where(np.isnan(numbers), "missing", "is missing")
    days = read_digits(numbers) if np.isfinite(numbers).all() else None
    if days is not None:
        refuse_where(np.isnan(days), "not_a_timestamp", "is no day as the others, such as 20240301")
        return days.astype(np.int64)
    bounds, divisors = (np.asarray(side) for side in zip(*_EPOCH_UNITS, strict=True))
    unit = np.searchsorted(bounds[:-1], np.abs(numbers), side="right")
    return _in_range(np.floor(numbers / divisors[unit]))


def _in_range(seconds: np.ndarray) -> np.ndarray:
    outside = (seconds < _YEAR_1) | (seconds >= _YEAR_10000)
    refuse_where(outside, "not_a_timestamp", "is not within the years 1 to 9999")
    return seconds.astype(np.int64)
