"""Limits of a column's usual numbers, which a large share of outliers does not move.

An outlier is often no measurement: 1e10 or -999 for "not known". A mean and a deviation that such
values take part in leave all others with one z-score.
"""

import numpy as np
import numpy.typing as npt

from taskroute.schemas.analysis import Limits

# Distance of the limits from the quartiles, and room beyond them, in interquartile ranges. A normal
# column has its limits 7 standard deviations from the mean: none of its values is an outlier.
_DISTANCE = 5.0
_ROOM = 2.0

# Largest share of the rows that one value has in the quartiles: neither zeros, which may be nearly
# all rows of a count, nor a default value then decides about the spread of the others.
_MOST_OF_A_VALUE = 0.01

_MOST = 1e38

Numbers = npt.NDArray[np.number]
Floats = npt.NDArray[np.float64]


def limits_of(values: Numbers) -> Limits:
    """Limits of usual numbers.

    Args:
        values: (N,) finite numbers; without any, all numbers are outliers of 0.

    Returns:
        Limits without room, which make every number the same, if all values are the same.
    """
    distinct, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
    if len(distinct) < 2:
        value = float(distinct[0]) if len(distinct) else 0.0
        return Limits(low=value, high=value)
    first, third = _quartiles(distinct, np.minimum(counts, max(1, len(values) * _MOST_OF_A_VALUE)))
    if first == third:
        first, third = _quartiles(distinct, np.ones(len(distinct)))
    # Of three values, one may be for "not known": the nearest two show the scale.
    spread = third - first or float(np.diff(distinct).min())
    return Limits(
        low=max(first - _DISTANCE * spread, -_MOST),
        high=min(third + _DISTANCE * spread, _MOST),
        room=min(_ROOM * spread, _MOST),
    )


def _quartiles(distinct: Floats, weights: Floats) -> tuple[float, float]:
    """Values of rising order that have a quarter of the weight below and above them."""
    ranks = (np.cumsum(weights) - weights / 2) / weights.sum()
    first = distinct[np.searchsorted(ranks, 0.25, "left")]
    third = distinct[np.searchsorted(ranks, 0.75, "right") - 1]
    return (float(first), float(third)) if first < third else (float(first), float(first))
