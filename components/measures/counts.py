"""Counts that tasks of every kind share."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from taskroute.components.measures.estimates import Estimates
from taskroute.components.measures.rows import TaskRows


class PredictionCounts:
    """Rows, and the range of their predictions, of M models.

    Attributes:
        num_rows: Rows seen, also those without a label.
        num_examples: Rows with a weight above 0.
        num_invalid: (M,), rows with an invalid prediction.
    """

    def __init__(self, num_models: int):
        self.num_rows = 0
        self.num_examples = 0
        self.num_invalid = np.zeros(num_models, np.int64)
        self._low = np.full(num_models, np.inf)
        self._high = np.full(num_models, -np.inf)

    def _count(
        self, rows: TaskRows, valid: npt.NDArray[np.bool_], stand_in: float
    ) -> tuple[TaskRows, npt.NDArray[np.float64]]:
        """Counts rows; returns the rows with a weight, and their predictions, (M, N).

        A model with one invalid prediction has no metrics: `stand_in` takes its place there.
        """
        self.num_rows += len(rows)
        self.num_invalid += np.count_nonzero(~valid, axis=1)
        has_weight = rows.weights > 0
        if not has_weight.all():
            rows, valid = rows[has_weight], valid[:, has_weight]
        self.num_examples += len(rows)
        predictions = np.where(valid, rows.predictions, stand_in)
        self._low = np.minimum(self._low, predictions.min(axis=1, initial=np.inf))
        self._high = np.maximum(self._high, predictions.max(axis=1, initial=-np.inf))
        return rows, predictions

    def _new_estimates(self, model: int, metrics: Sequence[str], valid: str) -> Estimates:
        """Estimates without values; all metrics undefined for invalid predictions or no label."""
        result = Estimates(dict.fromkeys(metrics))
        count = int(self.num_invalid[model])
        if count:
            are = "s are" if count > 1 else " is"
            result.refuse(metrics, f"{count} prediction{are} not {valid}")
        if not self.num_examples:
            result.refuse(metrics, "no row has a label")
        return result

    def merge(self, other: Self) -> None:
        """Adds the counts of `other`."""
        self.num_rows += other.num_rows
        self.num_examples += other.num_examples
        self.num_invalid += other.num_invalid
        self._low = np.minimum(self._low, other._low)
        self._high = np.maximum(self._high, other._high)
