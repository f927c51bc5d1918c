"""How far two sets of rows are from each other, and how sure that is.

A set of rows is a table of counts (G, C): a row for each of the jackknife groups that units (users,
or rows) belong to by their hash, a column for each cell. What a change would be without a group is
a subtraction, so its error and the bias of its distance come from one pass, as those of metrics do.

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

# Rows of a group, or of what is counted in them. With five groups that would hold so many, none at
# all is by chance once in 3 million.
_EXPECTED = 3.0


@dataclass(frozen=True)
class Change:
    """From one set of rows to another.

    Attributes:
        value: Of the change; NaN where it is not defined.
        spread: How far it may be off; None where that is not known.
    """

    value: float
    spread: Spread | None


def level(measure: Measure, table: Array) -> float | None:
    """The share or ratio of all rows of a table (G, 2); None where it has none."""
    if measure == "distribution":
        return None
    part, whole = table.sum(axis=0)
    return float(part / whole) if whole > 0 else None


def change(measure: Measure, since: Array, now: Array) -> Change:
    """The change from the rows of one table to those of another.

    Args:
        measure: What a table is. Of a share and a ratio it has two columns, part and whole, or
            numerator and denominator.
        since: (G, C), the rows that are compared with.
        now: (G, C), the rows that are compared.

    Returns:
        Of a share, the difference; of a ratio, the relative change, not defined where its
        denominator, or it was before, is 0 or less; of a distribution, the Jensen-Shannon
        divergence without its bias: between two samples of the same it is about 0.
    """
    held = (since != 0).any(axis=1) | (now != 0).any(axis=1)
    before, after = with_and_without(since, held), with_and_without(now, held)
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
    """How many groups have rows enough on either side: of a handful nothing is shown."""
    return int(min(np.count_nonzero(rows >= _EXPECTED) for rows in (since, now)))


def _groups_of_a_ratio(since: Array, now: Array) -> int:
    """How many groups matter: as for a rate, those that hold what is counted.

    Of `now` also those that would hold _EXPECTED of it, had nothing changed: that positives are
    gone from many rows is a change, and not too few rows to see one.
    """
    held_before, held_now = ((table != 0).all(axis=1) for table in (since, now))
    expected = now[:, 1] * (level("ratio", since) or 0.0)
    return int(min(held_before.sum(), (held_now | (expected >= _EXPECTED)).sum()))


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
