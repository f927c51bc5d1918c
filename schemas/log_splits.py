"""File of the splits of a log, splits.json: rows, times and the cut."""

from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal

from taskroute.schemas.base import Config
from taskroute.schemas.record import Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TimeRange(Config):
    """First and last time of some rows, in UTC, such as `2024-03-01 23:59:59`."""

    first: str
    last: str


class SplitRows(Config):
    """Rows of one split.

    Attributes:
        rows: Number of its rows.
        times: First and last time; None where the split is not by time.
    """

    rows: int
    times: TimeRange | None = None


class LogSplits(Record):
    """Splits of a log.

    Attributes:
        by: Rule that assigned the rows.
        times: First and last time of the log, without the rows of `test_path`; None where the split
            is not by time.
        cut: First time of the validation and of the test split, by split; empty as above.
        num_times: Number of distinct times; None as above.
        splits: Rows by split.
    """

    FILE: ClassVar[str] = "splits.json"

    by: Literal["time", "hash"]
    times: TimeRange | None = None
    cut: dict[str, str] = {}
    num_times: int | None = None
    splits: dict[str, SplitRows]


def time_text(seconds: int) -> str:
    """Time in UTC of seconds since 1970, within the years 1 to 9999."""
    return (_EPOCH + timedelta(seconds=int(seconds))).strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0")


def split_lines(splits: LogSplits) -> list[str]:
    """Lines for a person: the cut, and the rows and times of each split; 76 columns at most."""
    lines = []
    if splits.cut:
        cuts = " and ".join(f"{time} ({split})" for split, time in splits.cut.items())
        lines.append(f"cut at {cuts}")
    for name, split in splits.splits.items():
        line = f"{name:<10}{split.rows:>14,} rows"
        if split.times is not None:
            line += f"  {split.times.first} to {split.times.last}"
        lines.append(line)
    return lines
