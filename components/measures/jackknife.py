"""Standard errors of metrics: the delete-a-group jackknife, one pass, no resampling.

Every unit (a user, or a row where no `group_key` is given) belongs to one of NUM_GROUPS groups by
its hash. Sums are kept by group, so each row is added once, and leaving a group out of a metric is
a subtraction. Both models of a comparison leave out the same groups, so their difference
is paired.

Reference: Kott, "The Delete-a-Group Jackknife", Journal of Official Statistics 17(4), 2001.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

Array = npt.NDArray[np.float64]

NUM_GROUPS = 32

# With fewer groups that matter the standard error is itself a guess.
SMALLEST_DEGREES_OF_FREEDOM = 4


@dataclass(frozen=True)
class Spread:
    """Standard error of an estimate, and its degrees of freedom for Student's t."""

    standard_error: float
    degrees_of_freedom: int

    def interval(
        self, value: float, confidence: float, *, is_share: bool = False
    ) -> tuple[float, float]:
        """Two-sided interval around `value`.

        Args:
            value: The estimate.
            confidence: Chance that such an interval holds the truth, in (0, 1).
            is_share: Whether the truth lies between 0 and 1. The interval is then symmetric in
                log(p / (1 - p)): it stays within 0 to 1, and covers better near the ends.
        """
        quantile = float(stdtrit(self.degrees_of_freedom, (1 + confidence) / 2))
        reach = quantile * self.standard_error
        if not is_share or not 0 < value < 1:
            return value - reach, value + reach
        odds = value / (1 - value)
        factor = math.exp(min(reach / (value * (1 - value)), 700.0))
        return odds / (odds + factor), odds / (odds + 1 / factor)


def spread(left_out: Array, num_groups: int) -> Spread | None:
    """Spread of an estimate.

    Args:
        left_out: (K,), the estimate without each of the K groups that hold rows.
        num_groups: Number of groups that matter, at most K: groups with the rarer class for an AUC.

    Returns:
        None where leaving out a group leaves no estimate, or too few groups matter.
    """
    degrees_of_freedom = num_groups - 1
    if degrees_of_freedom < SMALLEST_DEGREES_OF_FREEDOM or not np.isfinite(left_out).all():
        return None
    count = len(left_out)
    variance = (count - 1) / count * float(np.square(left_out - left_out.mean()).sum())
    return Spread(math.sqrt(variance), degrees_of_freedom)
