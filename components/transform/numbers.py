"""Moments and quantiles of a column, in parts that add up."""

import itertools

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from taskroute.components.private_apis import quantiles_sketch
from taskroute.schemas.analysis import QUANTILE_ERROR, Moments

# Quantiles from which distinct boundaries are chosen.
_GRID = 2_000

# The least positive number that TensorFlow does not take for 0.
_TINY = np.float32(np.finfo(np.float32).tiny)

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
        return tuple(self._quantiles(num_buckets)[1:-1].tolist())

    def distinct_boundaries(self, num_buckets: int) -> tuple[float, ...]:
        """Rising bucket boundaries, float32; as `boundaries` where those are distinct.

        A value that fills more than one bucket, such as 0, has one of its own; the other values
        part the rest. There are fewer buckets where there are fewer values; always two.
        """
        if not self._has_values:
            return (0.0,)
        least, *bounds, _ = self._quantiles(num_buckets)
        # Nothing is below the least value: a boundary there fills a bucket, too.
        repeated = np.unique([a for a, b in itertools.pairwise([least, *bounds]) if a == b])
        if not len(repeated):
            return tuple(np.asarray(bounds, np.float32).tolist())
        grid = self._quantiles(_GRID)
        shares = np.array([np.count_nonzero(grid == value) for value in repeated])
        around: set[np.float32] = set()
        for value in repeated[np.argsort(-shares, kind="stable")]:
            ends = {end for end in (value, _above(value)) if grid[0] < end <= grid[-1]}
            if len(around | ends) < num_buckets:
                around |= ends
        rest = grid[~np.isin(grid, repeated)]
        num_cuts = num_buckets - 1 - len(around)
        cuts = rest[len(rest) * np.arange(1, num_cuts + 1) // (num_cuts + 1)] if len(rest) else rest
        chosen = np.unique(np.concatenate([np.array(sorted(around), np.float32), cuts]))
        # Without a value below it, a boundary has an empty bucket.
        filled = np.diff(np.searchsorted(grid, chosen), prepend=0) > 0
        return tuple(chosen[filled].tolist()) or (float(grid[-1]),)

    def _quantiles(self, number: int) -> npt.NDArray[np.float32]:
        """Least value, `number` - 1 quantiles, greatest value."""
        (quantiles,) = self._sketch.GetQuantiles(number).to_pylist()
        return np.asarray(quantiles, np.float32)


def _above(value: np.float32) -> np.float32:
    """The next float32 that TensorFlow tells from the value."""
    above = np.nextafter(value, np.float32(np.inf))
    if abs(above) >= _TINY:
        return above
    return _TINY if value >= 0 else np.float32(0)
