"""Mean and deviation of a column whose outliers are squashed, in parts that add up."""

import numpy as np
import numpy.typing as npt

from taskroute.components.measures.robust_limits import limits_of
from taskroute.components.transform.numbers import MomentSums
from taskroute.schemas.analysis import Limits, Moments

# Values that the limits are found from; of no more, mean and deviation are exact.
_SAMPLE_SIZE = 1 << 14


class ValueSample:
    """Random values of all that were added, without replacement: those of the least random keys.

    Args:
        seed: Seed of the keys; parts that will be merged need different ones.
    """

    def __init__(self, seed: int):
        self._random = np.random.default_rng(seed)
        self._keys = np.empty(0, np.float32)
        self._values = np.empty(0, np.float32)
        self._largest = np.float32(1)

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Takes in a batch of numbers (N,)."""
        keys = self._random.random(len(values), np.float32)
        is_taken = keys < self._largest
        self._append(keys[is_taken], values[is_taken])

    def merge(self, other: "ValueSample") -> None:
        """Takes in what `other` has seen."""
        self._append(other._keys, other._values)

    def values(self) -> npt.NDArray[np.float32]:
        """The sample, of `_SAMPLE_SIZE` values at most, rising."""
        self._shrink()
        return np.sort(self._values)

    def _append(self, keys: npt.NDArray[np.float32], values: npt.NDArray[np.float32]) -> None:
        self._keys = np.concatenate([self._keys, keys])
        self._values = np.concatenate([self._values, values])
        if len(self._keys) > 2 * _SAMPLE_SIZE:
            self._shrink()

    def _shrink(self) -> None:
        if len(self._keys) > _SAMPLE_SIZE:
            least = np.argpartition(self._keys, _SAMPLE_SIZE)[:_SAMPLE_SIZE]
            self._keys, self._values = self._keys[least], self._values[least]
            self._largest = self._keys.max()


class RobustScale:
    """Limits of a column's finite values, and moments of the values squashed into them.

    Args:
        seed: Seed of the sample; parts that will be merged need different ones.
    """

    def __init__(self, seed: int):
        self._sums = MomentSums()
        self._sample = ValueSample(seed)
        self._least, self._most = np.inf, -np.inf

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Takes in a batch of numbers (N,); only finite ones count."""
        values = values[np.isfinite(values)]
        if len(values):
            self._sums.add(values)
            self._sample.add(values)
            self._least = min(self._least, float(values.min()))
            self._most = max(self._most, float(values.max()))

    def merge(self, other: "RobustScale") -> None:
        """Takes in what `other` has seen."""
        self._sums.merge(other._sums)
        self._sample.merge(other._sample)
        self._least = min(self._least, other._least)
        self._most = max(self._most, other._most)

    def constants(self) -> tuple[Moments, Limits]:
        """Moments of all values, exact where none is beyond the limits; and the limits."""
        sample = self._sample.values().astype(np.float64)
        limits = limits_of(sample)
        if self._least >= self._most:
            return Moments(mean=limits.low), limits
        if limits.low <= self._least and self._most <= limits.high:
            return self._sums.moments(), limits
        squashed = limits.squash(sample, np)
        return Moments(mean=float(squashed.mean()), variance=float(squashed.var())), limits
