"""Differences of trunks paired by seed: Student's t, and Holm's correction for many tests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PairedDifference:
    """The mean of N differences, its interval, and the two-sided p-value of its being 0."""

    value: float
    low: float
    high: float
    p_value: float
    num_pairs: int


def paired_difference(
    ours: Sequence[float], theirs: Sequence[float], confidence: float
) -> PairedDifference | None:
    """Paired t interval and test of `ours` less `theirs`.

    Args:
        ours: (N,), a value a seed.
        theirs: (N,), of the same seeds.
        confidence: The chance that such an interval holds the true mean, in (0, 1).

    Returns:
        None where there are fewer than two pairs, or the differences do not vary: the test knows
        nothing then, and a coarse metric of few rows is the cause.
    """
    differences = np.subtract(ours, theirs)
    count = len(differences)
    if count < 2 or np.ptp(differences) <= 1e-12 * np.abs(differences).max():
        return None
    mean = float(differences.mean())
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    reach = student_t(confidence, count - 1) * error
    p_value = two_sided_p(mean / error, count - 1)
    return PairedDifference(mean, mean - reach, mean + reach, p_value, count)


def two_sided_p(t: float, degrees_of_freedom: int) -> float:
    """The chance of a Student's t as far from 0 as `t`, or farther.

    The finite sums for whole degrees of freedom: Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    # The series of `task_evaluator.jackknife` is for many degrees of freedom; seeds are few.
    n = degrees_of_freedom
    angle = math.atan(abs(t) / math.sqrt(n))
    cosine = math.cos(angle)
    is_odd = n % 2 == 1
    term, total = (cosine, 0.0) if is_odd else (1.0, 0.0)
    for power in range(2 + is_odd, n + 1, 2):
        total += term
        term *= cosine**2 * (power - 1) / power
    inside = math.sin(angle) * total
    if is_odd:
        inside = 2 / math.pi * (angle + inside)
    return min(1.0, max(0.0, 1.0 - inside))


def student_t(confidence: float, degrees_of_freedom: int) -> float:
    """Two-sided quantile of Student's t, by bisection of `two_sided_p`."""
    low, high = 0.0, 1.0
    while two_sided_p(high, degrees_of_freedom) > 1 - confidence:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if two_sided_p(middle, degrees_of_freedom) > 1 - confidence:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the given order.

    Where those below a level are called shown, the chance that any is so by accident is no more
    than that level, however the tests depend on each other (Holm, "A simple sequentially rejective
    multiple test procedure", Scandinavian Journal of Statistics 6, 1979).
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted
