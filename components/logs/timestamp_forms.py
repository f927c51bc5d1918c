"""Forms of a timestamp beside ISO 8601 and epochs: dates of other orders, formats given by hand."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.components.logs.bad_rows import BadValues

_MONTHS = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_EITHER_ORDER = r"^\d{1,2}[/-]\d{1,2}[/-](\d{4}|\d\d)\b"

_Rule = tuple[str, str]

_ZONES: tuple[_Rule, ...] = (
    (r"(:\d\d)\s*(?i:UTC|GMT|Z)$", r"\1Z"),
    (r"(:\d\d)\s+([+-]\d\d(?::?\d\d)?)$", r"\1\2"),
)
# Mark of texts that need the rules, and the rules: patterns and what replaces them, in order. The
# result is ISO 8601 wherever one applies.
_TO_ISO: tuple[tuple[str, tuple[_Rule, ...]], ...] = (
    (
        "年|時",
        (
            (r"^(\d{4})年\s*(\d{1,2})月\s*(\d{1,2})日", r"\1-0\2-0\3"),
            (r"(\d{1,2})時(\d{1,2})分(?:(\d{1,2})秒)?$", r" \1:\2:\3"),
            (r":$", ""),
        ),
    ),
    (
        "[A-Za-z]{3}[ ,/-]|[A-Za-z]{4}",
        (
            (r"^(?i:mon|tue|wed|thu|fri|sat|sun),\s*", ""),
            *(
                (rf"^(\d{{1,2}})[ /-](?i:{month})[a-z]*[ /-](\d{{4}})[ :]?", rf"\2-{i:02}-0\1 ")
                for i, month in enumerate(_MONTHS, start=1)
            ),
        ),
    ),
    (
        "^",
        (
            (r"^(\d{4})[/.-](\d{1,2})[/.-](\d{1,2})(\D|$)", r"\1-0\2-0\3\4"),
            (r"^(\d{1,2})\.(\d{1,2})\.(\d{4})(\D|$)", r"\3-0\2-0\1\4"),
            (r"^(\d{4}-)0?(\d\d)-0?(\d\d)(\D|$)", r"\1\2-\3\4"),
            (r"^(\d{4}-\d\d-\d\d)(?:,\s*|\s+)", r"\1 "),
            (r"^(\d{4}-\d\d-\d\d) (?i:UTC|GMT)?$", r"\1"),
        ),
    ),
    (
        r"(^|\D)\d(:|$)|:\d\D",
        (
            (r"^(\d{4}-\d\d-\d\d)[ T](\d):", r"\1 0\2:"),
            (r":(\d)(\D|$)", r":0\1\2"),
            (r":(\d)(\D|$)", r":0\1\2"),
        ),
    ),
)

# Numbers that are written as a day, with the time or without: digits after the day, least, most.
_DIGITS = (
    (0, 19_000_101, 21_001_231),
    (4, 190_001_010_000, 210_012_312_359),
    (6, 19_000_101_000_000, 21_001_231_235_959),
)

# Directives that Arrow reads as Python does.
_OF_ARROW = frozenset("YmdHMSyj%")

EPOCHS = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000, "epoch_ns": 1_000_000_000}


def to_iso(texts: pa.Array) -> pa.Array:
    """Rewrites dates such as 25.04.2024, 2024/4/25 and `25 Apr 2024 10:00 GMT` as ISO 8601.

    Raises:
        BadValues: If a text is a date of which day and month may be swapped, such as 03/04/2024.
    """
    either = np.asarray(pc.match_substring_regex(texts, _EITHER_ORDER))
    if either.any():
        raise BadValues(
            "not_a_timestamp",
            "does not say which number is the day; give `source.timestamp_format`, such as "
            "`%d/%m/%Y %H:%M:%S`",
            np.flatnonzero(either),
        )
    texts = pc.utf8_normalize(texts, "NFKC")  # digits as wide as a letter of Chinese or Japanese
    for mark, rules in _TO_ISO:
        if pc.any(pc.match_substring_regex(texts, mark)).as_py():
            texts = _replace(texts, rules)
    return with_zones(texts)


def with_zones(texts: pa.Array) -> pa.Array:
    """Rewrites ` UTC`, ` GMT`, ` Z` and ` +0200` after a time as ISO 8601 does."""
    return _replace(texts, _ZONES)


def read_digits(numbers: np.ndarray) -> np.ndarray | None:
    """Seconds of numbers that are written as days, such as 20240301 or 20240301235959.

    A number alone may be an epoch as well: 20240301 is a second of August 1970. Of days nearly all
    are in the calendar, of epochs in the same range one in twenty: the majority decides.

    Args:
        numbers: float64 (N,), finite.

    Returns:
        float64 (N,), NaN where a number is none; None where the numbers are epochs.
    """
    for num_digits, least, most in _DIGITS:
        inside = (numbers >= least) & (numbers <= most) & (numbers == np.floor(numbers))
        if not inside.any():
            continue
        seconds = np.full(len(numbers), np.nan)
        seconds[inside] = _seconds_of_digits(numbers[inside].astype(np.int64), num_digits)
        is_day = ~np.isnan(seconds[inside])
        if 2 * is_day.sum() >= len(is_day) and 2 * is_day.sum() >= len(numbers):
            return seconds
    return None


def read_by_format(texts: pa.Array, form: str) -> np.ndarray:
    """Seconds of texts, int64 (N,), by a format of `strptime`; without a zone they are UTC.

    Args:
        texts: string (N,), without nulls.
        form: The format.

    Raises:
        BadValues: If texts are not of the format.
    """
    coded = texts.dictionary_encode()
    terms = coded.dictionary
    seconds = np.zeros(len(terms), np.int64)
    unread = np.ones(len(terms), np.bool_)
    if set(re.findall(r"%(.)", form)) <= _OF_ARROW:
        parsed = pc.strptime(terms, form, "s", error_is_null=True)
        # The C library counts the 30th of February on to March: only what reads back is right.
        same = pc.fill_null(pc.equal(pc.strftime(parsed, form), terms), False)
        unread = ~np.asarray(same)
        seconds[~unread] = np.asarray(parsed.filter(same).cast(pa.int64()))
    bad = np.zeros(len(terms), np.bool_)
    for place in np.flatnonzero(unread).tolist():
        try:
            time = datetime.strptime(terms[place].as_py(), form)
            time = time if time.tzinfo else time.replace(tzinfo=UTC)
            seconds[place] = int(np.floor(time.timestamp()))
        except (ValueError, OverflowError):
            bad[place] = True
    index = coded.indices.to_numpy()
    if bad.any():
        raise BadValues(
            "not_a_timestamp",
            f"is not of `source.timestamp_format` ({form})",
            np.flatnonzero(bad[index]),
        )
    return seconds[index]


def _replace(texts: pa.Array, rules: Iterable[_Rule]) -> pa.Array:
    for pattern, replacement in rules:
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    return texts


def _seconds_of_digits(numbers: np.ndarray, num_digits: int) -> np.ndarray:
    """Seconds, float64 (N,), of whole numbers; NaN where no day or time is so written."""
    clock = numbers % 10**num_digits * 10 ** (6 - num_digits)
    days = numbers // 10**num_digits
    year, month, day = days // 10_000, days // 100 % 100, days % 100
    hour, minute, second = clock // 10_000, clock // 100 % 100, clock % 100
    is_valid = (month >= 1) & (month <= 12) & (day >= 1) & (hour < 24)
    is_valid &= (minute < 60) & (second < 60)
    first = ((year - 1970) * 12 + np.where(is_valid, month, 1) - 1).astype("M8[M]")
    in_month = ((first + 1).astype("M8[D]") - first.astype("M8[D]")).astype(np.int64)
    is_valid &= day <= in_month
    whole_days = first.astype("M8[D]").astype(np.int64) + day - 1
    seconds = whole_days * 86_400.0 + hour * 3600 + minute * 60 + second
    return np.where(is_valid, seconds, np.nan)
