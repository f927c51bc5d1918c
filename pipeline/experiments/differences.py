"""Differences of a variant from a reference, paired by seed, corrected for their number."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field
from scipy.special import stdtr, stdtrit

from taskroute.schemas.base import Config

NO_DIFFERENCE = "no difference"

# By seed; None where a metric is undefined.
BySeed = Mapping[int, float | None]


class Against(Config):
    """Difference of a variant from a reference, paired by seed; the interval is uncorrected."""

    reference: str
    difference: float
    low: float
    high: float
    p_value: float
    holm_p_value: float = Field(description="Corrected for all tests that are made together.")
    num_seeds: int
    verdict: str = Field(
        description="`better` or `worse` where the interval leaves 0 out, else `no difference`."
    )
    holds: bool = Field(description="Whether the verdict holds after Holm's correction.")


def against(
    reference: str, ours: BySeed, theirs: BySeed, better: int, confidence: float
) -> Against | None:
    """Paired t interval and test of a variant less a reference.

    Args:
        reference: Name of the reference.
        ours: Values of the variant.
        theirs: Values of the reference.
        better: 1 where more is better, -1 where less is.
        confidence: Chance that such an interval holds the true mean, in (0, 1).

    Returns:
        None where fewer than two seeds are known, or the differences do not vary: the test knows
        nothing then, and a coarse metric of few rows is the cause.
    """
    pairs = [(ours[seed], theirs.get(seed)) for seed in ours]
    differences = np.array([a - b for a, b in pairs if a is not None and b is not None])
    count = len(differences)
    if count < 2 or np.ptp(differences) <= 1e-12 * np.abs(differences).max():
        return None
    mean, std = float(differences.mean()), float(differences.std(ddof=1))
    reach = reach_of_mean(std, count, confidence)
    p_value = float(2 * stdtr(count - 1, -abs(mean) * math.sqrt(count) / std))
    verdict = NO_DIFFERENCE
    if abs(mean) > reach:
        verdict = "better" if mean * better > 0 else "worse"
    return Against(
        reference=reference,
        difference=mean,
        low=mean - reach,
        high=mean + reach,
        p_value=p_value,
        holm_p_value=p_value,
        num_seeds=count,
        verdict=verdict,
        holds=False,
    )


def reach_of_mean(std: float, count: int, confidence: float) -> float:
    """Half of Student's interval of the mean of `count` values."""
    return float(stdtrit(count - 1, (1 + confidence) / 2)) * std / math.sqrt(count)


def corrected(tests: Sequence[Against], confidence: float) -> list[Against]:
    """Tests that are made together, with the outcome of Holm's correction."""
    p_values = holm([test.p_value for test in tests])
    return [
        test.model_copy(
            update={
                "holm_p_value": p_value,
                "holds": test.verdict != NO_DIFFERENCE and p_value < 1 - confidence,
            }
        )
        for test, p_value in zip(tests, p_values, strict=True)
    ]


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
