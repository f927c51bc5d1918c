"""Files that a run reads: for a log that comes in spans, a window of the newest.

A span is a day, named as in 2026-01-31, or a number, named without leading zeros.
"""

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from taskroute.components.logs import log_files
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import SPAN_FIELD, Source

_EPOCH = date(1970, 1, 1)
_FIELD = re.compile(r"\{YYYY\}|\{MM\}|\{DD\}|\{SPAN\}")
_DIGITS = {"{YYYY}": 4, "{MM}": 2, "{DD}": 2}


@dataclass(frozen=True)
class Window:
    """Spans that follow one another, oldest first, and the files of each; none where missing."""

    spans: tuple[str, ...]
    files: tuple[tuple[str, ...], ...]

    @property
    def missing(self) -> tuple[str, ...]:
        pairs = zip(self.spans, self.files, strict=True)
        return tuple(span for span, files in pairs if not files)


def resolve(source: Source, today: date | None = None) -> Source:
    """Fills in the `last_span` of a source.

    Args:
        source: Source; returned as it is if it has no spans or a last one.
        today: Present day, in UTC by default. A day is over when it is before today.

    Raises:
        DataError: If no span is complete.
    """
    if not source.has_spans or source.last_span is not None:
        return source
    spans = _files_by_span(source)
    if source.done_file is not None:
        complete = [span for span, files in spans.items() if _is_done(files, source.done_file)]
        rule = f"has a file {source.done_file} beside its files"
    elif _is_by_day(source):
        today = today or datetime.now(UTC).date()
        complete = [span for span in spans if span < today.isoformat()]
        rule = f"is over; today is {today} in UTC"
    else:
        complete = list(spans)
        rule = "has a file"
    if not complete:
        kind = "day" if _is_by_day(source) else "span"
        raise DataError(f"{source.path}: no {kind} {rule}; check `source.path`")
    return source.model_copy(update={"last_span": max(complete, key=number_of)})


def read_window(source: Source) -> Window | None:
    """The window that ends at `last_span`; None where the source has no spans.

    Raises:
        DataError: If more spans than `max_missing_days` have no file.
    """
    if not source.has_spans:
        return None
    if source.last_span is None or source.window_days is None:
        raise ValueError("`source` must be resolved. Received: without a last span")
    last = number_of(source.last_span)
    numbers = range(max(last - source.window_days + 1, 0), last + 1)
    spans = [_name(number, source) for number in numbers]
    files = _files_by_span(source)
    window = Window(tuple(spans), tuple(tuple(files.get(span, ())) for span in spans))
    refuse_missing(window.missing, source, "no file")
    return window


def refuse_missing(missing: Sequence[str], source: Source, what: str) -> None:
    """Stops if too many spans of the window lack data.

    Args:
        missing: Spans without data.
        source: Source, which has the limit.
        what: Words for the missing data, for the message.

    Raises:
        DataError: If more are missing than the limit allows; names them.
    """
    if len(missing) <= source.max_missing_days:
        return
    shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
    raise DataError(
        f"{source.path}: {shown}: {what} in {len(missing)} of the {source.window_days} spans up to "
        f"{source.last_span}; bring the data or raise `source.max_missing_days`"
    )


def files_of(source: Source, window: Window | None) -> list[str]:
    """Files of `source.path`: of the window, or all where there is none.

    Raises:
        DataError: If there are none.
    """
    if window is None:
        return log_files.list_files(source.path)
    return [file for files in window.files for file in files]


def number_of(span: str) -> int:
    """Number of a span, which grows by one from span to span; days count from 1970-01-01."""
    return int(span) if span.isdecimal() else (date.fromisoformat(span) - _EPOCH).days


def _name(number: int, source: Source) -> str:
    if not _is_by_day(source):
        return str(number)
    return (_EPOCH + timedelta(days=number)).isoformat()


def _is_by_day(source: Source) -> bool:
    return SPAN_FIELD not in source.path


def _files_by_span(source: Source) -> dict[str, list[str]]:
    any_span = _FIELD.sub(lambda field: "[0-9]" * _DIGITS.get(field[0], 0) or "*", source.path)
    try:
        files = log_files.list_files(any_span)
    except DataError:
        raise DataError(f"{source.path}: no file matches; check `source.path`") from None
    pattern = re.compile(_regex(source.path))
    spans: dict[str, list[str]] = {}
    for file in files:
        match = pattern.fullmatch(file)
        span = _span_of(match.groupdict()) if match else None
        if span is not None:
            spans.setdefault(span, []).append(file)
    return spans


def _span_of(fields: dict[str, str]) -> str | None:
    if "SPAN" in fields:
        return str(int(fields["SPAN"]))
    try:
        return date(int(fields["YYYY"]), int(fields["MM"]), int(fields["DD"])).isoformat()
    except ValueError:
        return None  # no day of the calendar


def _regex(path: str) -> str:
    """Pattern of the files' names, with a group for each field; a repeated field refers back."""
    regex, seen, at = "", set(), 0
    for field in _FIELD.finditer(path):
        name = field[0].strip("{}")
        digits = rf"\d{{{_DIGITS[field[0]]}}}" if field[0] in _DIGITS else r"\d+"
        regex += _glob_regex(path[at : field.start()])
        regex += f"(?P={name})" if name in seen else f"(?P<{name}>{digits})"
        seen.add(name)
        at = field.end()
    return regex + _glob_regex(path[at:])


def _glob_regex(text: str) -> str:
    tokens = re.split(r"(\*\*/?|\*|\?|\[[^]]+\])", text)
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        words.get(token) or (token.replace("[!", "[^") if token[:1] == "[" else re.escape(token))
        for token in tokens
    )


def _is_done(files: Sequence[str], done_file: str) -> bool:
    for folder in sorted({file.rpartition("/")[0] for file in files}):
        pattern = f"{glob.escape(folder)}/{done_file}"
        try:
            log_files.list_files(pattern)
        except DataError:
            return False
    return True
