"""Metrics of one model: values, reasons of undefined ones, values without each group."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from taskroute.components.measures.jackknife import Spread, spread

Array = npt.NDArray[np.float64]


@dataclass
class Estimates:
    """Estimates of one model's metrics on one task and slice.

    Attributes:
        values: Metric to its value, None where it is undefined.
        undefined: Metric without a value to the reason.
        left_out: Metric to its values (K,) without each group that holds rows; NaN where the other
            groups leave it undefined. All models leave out the same K groups.
        num_groups: Metric to the number of these groups that matter to it.
    """

    values: dict[str, float | None]
    undefined: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, Array] = field(default_factory=dict)
    num_groups: dict[str, int] = field(default_factory=dict)

    def refuse(self, metrics: Iterable[str], reason: str) -> None:
        """Leaves metrics undefined, for their first reason."""
        for metric in metrics:
            self.values[metric] = None
            self.undefined.setdefault(metric, reason)

    def put(self, metric: str, value: float, left_out: Array, num_groups: int) -> None:
        """Sets a metric unless it is undefined."""
        if metric not in self.undefined:
            self.values[metric] = float(value)
            self.left_out[metric] = left_out
            self.num_groups[metric] = num_groups

    def spread(self, metric: str) -> Spread | None:
        """Standard error of the value; None where it is unknown."""
        if metric not in self.left_out:
            return None
        return spread(self.left_out[metric], self.num_groups[metric])

    def minus(self, other: "Estimates") -> "Estimates":
        """Differences of metrics defined for both models, paired by group."""
        both = [metric for metric in self.left_out if metric in other.left_out]
        result = Estimates({})
        for metric in both:
            result.put(
                metric,
                (self.values[metric] or 0.0) - (other.values[metric] or 0.0),
                self.left_out[metric] - other.left_out[metric],
                min(self.num_groups[metric], other.num_groups[metric]),
            )
        return result


def with_and_without(sums: Array, has_rows: npt.NDArray[np.bool_]) -> Array:
    """(1 + K, ...) sums over all groups, then without each group that holds rows.

    Args:
        sums: (G, ...) by group.
        has_rows: (G,), True for K groups.
    """
    total = sums.sum(axis=0, keepdims=True)
    return np.concatenate([total, total - sums[has_rows]])
