"""Split of each row: by the hash of a key, or by time."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from taskroute.schemas.source import SPLITS

_TRAIN, _VALIDATION, _TEST = (np.int8(SPLITS.index(s)) for s in ("train", "validation", "test"))

_MERGED_AT = 1_000_000


@dataclass(frozen=True)
class Cutoffs:
    """First second of the validation and of the test split; `test` is None where there is none."""

    validation: int
    test: int | None


def split_by_hash(hashes: np.ndarray, validation: float, test: float) -> np.ndarray:
    """Index into SPLITS of each hash, int8: hashes count from test to validation to train."""
    shares = (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53
    splits = np.full(len(hashes), _TRAIN)
    splits[shares < test + validation] = _VALIDATION
    splits[shares < test] = _TEST
    return splits


def merge_counts(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Adds up rows per second: (S,) distinct seconds, rising, int64, and (S,) rows, int64."""
    merged = (np.empty(0, np.int64), np.empty(0, np.int64))
    queue, num_seconds = [merged], 0
    for pair in pairs:
        queue.append(pair)
        num_seconds += len(pair[0])
        # Rarely, so that the sorting stays linear in what comes in.
        if num_seconds > len(queue[0][0]) + _MERGED_AT:
            queue, num_seconds = [_add_up(queue)], 0
    return _add_up(queue)


def find_cutoffs(
    seconds: np.ndarray, counts: np.ndarray, validation: float, test: float
) -> Cutoffs | None:
    """Cuts the log where the newest rows are nearest to the fractions.

    Rows of one second stay together, so the fractions are met only as closely as the seconds
    allow; each split gets at least one second.

    Args:
        seconds: (S,) distinct seconds, rising.
        counts: (S,) rows in each second.
        validation: Validation fraction of all rows.
        test: Test fraction of all rows; 0 for no test split.

    Returns:
        The cut-offs, or None where there are fewer seconds than splits.
    """
    last = len(seconds) - 1
    if last < (2 if test else 1):
        return None
    earlier = np.cumsum(counts) - counts  # rows before each second
    total = counts.sum()

    def nearest(newest: float) -> int:
        return int(np.abs(earlier - (1 - newest) * total).argmin())

    test_at = max(nearest(test), 2) if test else last + 1
    validation_at = min(max(nearest(test + validation), 1), test_at - 1)
    return Cutoffs(int(seconds[validation_at]), int(seconds[test_at]) if test else None)


def split_by_time(seconds: np.ndarray, cutoffs: Cutoffs) -> np.ndarray:
    """Index into SPLITS for each row, int8."""
    splits = np.full(len(seconds), _TRAIN)
    splits[seconds >= cutoffs.validation] = _VALIDATION
    if cutoffs.test is not None:
        splits[seconds >= cutoffs.test] = _TEST
    return splits


def _add_up(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    seconds, places = np.unique(np.concatenate([pair[0] for pair in pairs]), return_inverse=True)
    counts = np.concatenate([pair[1] for pair in pairs])
    return seconds, np.bincount(places, counts, len(seconds)).astype(np.int64)
