"""Moments and quantiles of a column, in parts that add up."""

import numpy as np
import pyarrow as pa

from taskroute.components.private_apis import quantiles_sketch
from taskroute.schemas.analysis import QUANTILE_ERROR, Moments

# The sketch keeps its promise up to so many values.
_MOST_VALUES = 1 << 32


class MomentSums:
    """Count, mean and sum of squared deviations of finite values, in float64."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        """Takes in a batch of numbers (N,); only finite ones count."""
        finite = values[np.isfinite(values)].astype(np.float64)
        if len(finite):
            mean = finite.mean()
            self._add(len(finite), mean, np.square(finite - mean).sum())

    def merge(self, other: "MomentSums") -> None:
        """Takes in what `other` has seen."""
        self._add(other._count, other._mean, other._squares)

    def moments(self) -> Moments:
        """Moments of all values seen."""
        if not self._count:
            return Moments()
        return Moments(mean=self._mean, variance=self._squares / self._count)

    def _add(self, count: int, mean: float, squares: float) -> None:
        # Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983, Eq. 2.1.
        total = self._count + count
        if not total:
            return
        shift = mean - self._mean
        self._squares += squares + shift**2 * self._count * count / total
        self._mean += shift * count / total
        self._count = total


class QuantileSketch:
    """Quantiles of numbers by the sketch that TFT uses, to QUANTILE_ERROR of their ranks."""

    def __init__(self) -> None:
        self._sketch = quantiles_sketch(QUANTILE_ERROR, _MOST_VALUES)
        self._has_values = False

    def add(self, values: np.ndarray) -> None:
        """Takes in a batch of numbers (N,); only finite ones count."""
        finite = values[np.isfinite(values)]
        if len(finite):
            self._sketch.AddValues(pa.array(finite))
            self._has_values = True

    def merge(self, other: "QuantileSketch") -> None:
        """Takes in what `other` has seen."""
        if other._has_values:
            self._sketch.Merge(other._sketch)
            self._has_values = True

    def boundaries(self, num_buckets: int) -> tuple[float, ...]:
        """Bucket boundaries, float32; zeros where there are no values, as TFT."""
        if not self._has_values:
            return (0.0,) * (num_buckets - 1)
        (quantiles,) = self._sketch.GetQuantiles(num_buckets).to_pylist()
        return tuple(np.asarray(quantiles, np.float32)[1:-1].tolist())
