"""Change between two sets of rows, and its standard error.

A set of rows is a table of counts (G, C): one row for each jackknife group of units (users, or
rows), by their hash, and one column for each cell. Leaving a group out is a subtraction, so one
pass gives the error of a change and the bias of its distance, as it does for metrics.

Shape letters: G jackknife groups, C cells, R replicates: all rows first, then without each group.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from taskroute.components.measures.estimates import with_and_without
from taskroute.components.measures.jackknife import Spread, spread
from taskroute.components.measures.ranking import ratio
from taskroute.schemas.change_record import Measure

Array = npt.NDArray[np.float64]

# Rows, or events, that a group must be expected to hold. Five such groups are all empty by chance
# once in 3 million.
_EXPECTED = 3.0


@dataclass(frozen=True)
class Change:
    """Change from one set of rows to another.

    Attributes:
        value: Value of the change; NaN where it is undefined.
        spread: Standard error of the value; None where it is unknown.
    """

    value: float
    spread: Spread | None


def level(measure: Measure, table: Array) -> float | None:
    """Share or ratio of all rows of a table (G, 2); None where it has none."""
    if measure == "distribution":
        return None
    part, whole = table.sum(axis=0)
    return float(part / whole) if whole > 0 else None


def change(measure: Measure, since: Array, now: Array) -> Change:
    """Measures the change from the rows of one table to the rows of another.

    Args:
        measure: Kind of the tables. A share or a ratio has two columns, part and whole, or
            numerator and denominator.
        since: (G, C), rows of the reference.
        now: (G, C), rows to compare with the reference.

    Returns:
        Difference of a share; relative change of a ratio, undefined where its denominator, or the
        reference's ratio, is 0 or less; Jensen-Shannon divergence of a distribution without its
        bias: two samples of one distribution are at about 0.
    """
    has_rows = (since != 0).any(axis=1) | (now != 0).any(axis=1)
    before, after = with_and_without(since, has_rows), with_and_without(now, has_rows)
    match measure:
        case "share":
            changes = ratio(*after.T) - ratio(*before.T)
            num_groups = _groups_of_rows(since[:, 1], now[:, 1])
        case "ratio":
            changes = ratio(ratio(*after.T), ratio(*before.T)) - 1
            num_groups = _groups_of_a_ratio(since, now)
        case "distribution":
            changes = jensen_shannon(before, after)
            num_groups = _groups_of_rows(since.sum(axis=1), now.sum(axis=1))
            # The jackknife's estimate of the bias, which is of the order of cells over rows.
            changes[0] -= (len(changes) - 2) * (changes[1:].mean() - changes[0])
    return Change(float(changes[0]), spread(changes[1:], num_groups))


def _groups_of_rows(since: Array, now: Array) -> int:
    """Number of groups with enough rows on either side: a handful shows nothing."""
    return int(min(np.count_nonzero(rows >= _EXPECTED) for rows in (since, now)))


def _groups_of_a_ratio(since: Array, now: Array) -> int:
    """Number of groups that matter: groups that hold what is counted, as for a rate.

    In `now`, a group also matters if it would hold _EXPECTED without a change: positives that are
    gone from many rows are a change, not a lack of rows.
    """
    matters_before, matters_now = ((table != 0).all(axis=1) for table in (since, now))
    expected = now[:, 1] * (level("ratio", since) or 0.0)
    return int(min(matters_before.sum(), (matters_now | (expected >= _EXPECTED)).sum()))


def jensen_shannon(one: Array, other: Array) -> Array:
    """(R,) Jensen-Shannon divergences of counts (R, C), in bits: 0 the same, 1 nothing in common.

    NaN where a set has no row. Reference: Lin, "Divergence Measures Based on the Shannon Entropy",
    IEEE Transactions on Information Theory 37(1), 1991, Eq. 4.1.
    """
    shares = [ratio(counts, _totals(counts)) for counts in (one, other)]
    mean = (shares[0] + shares[1]) / 2
    return _entropy(mean) - (_entropy(shares[0]) + _entropy(shares[1])) / 2


def _totals(counts: Array) -> Array:
    return np.broadcast_to(counts.sum(axis=1, keepdims=True), counts.shape)


def _entropy(shares: Array) -> Array:
    logs = np.log2(np.where(shares > 0, shares, 1))
    return -np.sum(shares * logs, axis=1)
