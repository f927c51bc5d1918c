"""Sums by integer key that take no memory for absent keys: for mostly empty histograms."""

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]

# Below this many unsorted rows it costs more to sort them than to keep them.
_SMALLEST_BACKLOG = 2**15


class SparseSums:
    """Adds values up by key; holds 12 bytes a distinct key and at most as many rows unsorted."""

    def __init__(self) -> None:
        self._keys: list[Keys] = []
        self._values: list[Values] = []
        self._backlog = 0
        self._limit = _SMALLEST_BACKLOG

    def add(self, keys: Keys, values: Values) -> None:
        """Adds `values`, float64 (N,), to the sums of `keys`, int32 (N,), in any order."""
        self._keys.append(keys)
        self._values.append(values)
        self._backlog += len(keys)
        if self._backlog > self._limit:
            self.settle()

    def merge(self, other: "SparseSums") -> None:
        """Adds the sums of `other`."""
        self.add(*other.settle())

    def settle(self) -> tuple[Keys, Values]:
        """Distinct keys, ascending, and their sums."""
        if len(self._keys) != 1 or self._backlog:
            keys = np.concatenate([np.empty(0, np.int32), *self._keys])
            values = np.concatenate([np.empty(0), *self._values])
            distinct, inverse = np.unique(keys, return_inverse=True)
            sums = np.bincount(inverse, values, minlength=len(distinct)).astype(np.float64)
            self._keys, self._values = [distinct], [sums]
            self._backlog = 0
            self._limit = max(_SMALLEST_BACKLOG, len(distinct))
        return self._keys[0], self._values[0]
