"""Times of the splits of a log, put together from parts."""

from collections.abc import Mapping, Sequence
from typing import Literal

from taskroute.components.logs.splits import Cutoffs
from taskroute.schemas.log_splits import LogSplits, SplitRows, TimeRange, time_text
from taskroute.schemas.source import SPLITS


def describe_splits(
    by: Literal["time", "hash"],
    rows: Mapping[str, int],
    ranges: Mapping[str, Sequence[tuple[int, int]]],
    cutoffs: Cutoffs | None,
    num_times: int,
) -> LogSplits:
    """Puts the splits of a log together.

    Args:
        by: Rule of the split.
        rows: Number of rows by split.
        ranges: First and last second of each part, by split.
        cutoffs: The cut; None where the split is not by time.
        num_times: Number of distinct seconds.
    """
    described = {
        split: SplitRows(rows=rows[split], times=_join(ranges.get(split, ()))) for split in SPLITS
    }
    if cutoffs is None:
        return LogSplits(by=by, splits=described)
    cut = {"validation": time_text(cutoffs.validation)}
    if cutoffs.test is not None:
        cut["test"] = time_text(cutoffs.test)
    return LogSplits(
        by=by,
        times=_join([one for of_split in ranges.values() for one in of_split]),
        cut=cut,
        num_times=num_times,
        splits=described,
    )


def _join(ranges: Sequence[tuple[int, int]]) -> TimeRange | None:
    if not ranges:
        return None
    first, last = min(one[0] for one in ranges), max(one[1] for one in ranges)
    return TimeRange(first=time_text(first), last=time_text(last))
