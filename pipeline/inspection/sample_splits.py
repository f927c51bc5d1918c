"""Splits of a sample, as LogExampleGen makes them of the whole log."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from taskroute.components.logs import splits
from taskroute.components.logs.labels import LabelCounts, count_labels
from taskroute.components.logs.time_ranges import describe_splits
from taskroute.schemas.log_splits import LogSplits
from taskroute.schemas.source import SPLITS, Source


@dataclass
class RowParts:
    """Rows as splits and tasks see them.

    Attributes:
        is_test: Rows of `source.test_path`, (N,) bool.
        seconds: Their times, (N,) int64; None where the split is not by time.
        hashes: Hashes of their split keys, (N,) uint64; None where the split is not by hash.
        roles: Roles by task, (N,) int8, as `read_labels` gives them.
    """

    is_test: np.ndarray
    seconds: np.ndarray | None = None
    hashes: np.ndarray | None = None
    roles: dict[str, np.ndarray] = field(default_factory=dict)

    def select(self, chosen: np.ndarray) -> "RowParts":
        """Parts of the chosen rows, (N,) bool."""
        return RowParts(
            self.is_test[chosen],
            None if self.seconds is None else self.seconds[chosen],
            None if self.hashes is None else self.hashes[chosen],
            {task: role[chosen] for task, role in self.roles.items()},
        )


@dataclass(frozen=True)
class SampleSplits:
    """Splits of a sample: rows and times, and label counts by split and task."""

    made: LogSplits
    labels: dict[str, dict[str, LabelCounts]]


def split_sample(parts: Sequence[RowParts], source: Source) -> SampleSplits | None:
    """Splits the rows of a sample; None where its times are too few to cut."""
    own = [part for part in parts if not part.is_test.all()]
    cutoffs = None
    pairs = [
        np.unique(part.seconds, return_counts=True) for part in own if part.seconds is not None
    ]
    seconds, counts = splits.merge_counts(pairs)
    if source.split.by == "time":
        cutoffs = splits.find_cutoffs(seconds, counts, source.split.validation, source.split.test)
        if cutoffs is None:
            return None
    rows = dict.fromkeys(SPLITS, 0)
    ranges: dict[str, list[tuple[int, int]]] = {split: [] for split in SPLITS}
    labels = {split: dict.fromkeys(parts[0].roles, LabelCounts()) for split in SPLITS}
    for part in parts:
        codes = _codes(part, source, cutoffs)
        for code, split in enumerate(SPLITS):
            chosen = codes == code
            rows[split] += int(chosen.sum())
            if part.seconds is not None and chosen.any():
                of_split = part.seconds[chosen]
                ranges[split].append((int(of_split.min()), int(of_split.max())))
            for task, role in part.roles.items():
                labels[split][task] += count_labels(role[chosen])
    made = describe_splits(source.split.by, rows, ranges, cutoffs, len(seconds))
    return SampleSplits(made, labels)


def _codes(part: RowParts, source: Source, cutoffs: splits.Cutoffs | None) -> np.ndarray:
    if part.seconds is not None and cutoffs is not None:
        return splits.split_by_time(part.seconds, cutoffs)
    if part.hashes is not None:
        return splits.split_by_hash(part.hashes, source.split.validation, source.split.test)
    return np.full(len(part.is_test), SPLITS.index("test"), np.int8)
