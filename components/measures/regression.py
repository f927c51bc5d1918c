"""Statistics of a regression task that add up, in the units of the label's column."""

from typing import Self

import numpy as np
import numpy.typing as npt

from taskroute.components.measures import ranking
from taskroute.components.measures.counts import PredictionCounts
from taskroute.components.measures.estimates import Estimates, with_and_without
from taskroute.components.measures.jackknife import NUM_GROUPS
from taskroute.components.measures.ranking import ratio
from taskroute.components.measures.rows import TaskRows
from taskroute.schemas.evaluation import METRICS

Array = npt.NDArray[np.float64]

# XAUC compares pairs: all of them up to this many rows, else those of a fixed random sample, the
# rows with the lowest hashes.
MAX_XAUC_ROWS = 8192


class RegressionStatistics(PredictionCounts):
    """Sums over the rows of a regression task, by jackknife group.

    A prediction that is not finite is invalid.

    Attributes:
        weights: (G,), sums of weights by group.
    """

    def __init__(self, num_models: int):
        super().__init__(num_models)
        self.weights = np.zeros(NUM_GROUPS)
        self._labels = np.zeros(NUM_GROUPS)
        self._sums = np.zeros((num_models, NUM_GROUPS, 3))  # |error|, squared error, prediction
        self._sample: list[TaskRows] = []
        self._num_sampled = 0

    def add(self, rows: TaskRows) -> None:
        """Adds rows that were scored by `num_models` models."""
        rows, predictions = self._count(rows, np.isfinite(rows.predictions), 0.0)
        if not len(rows):
            return
        groups, weights = rows.groups, rows.weights
        self.weights += np.bincount(groups, weights, NUM_GROUPS)
        self._labels += np.bincount(groups, weights * rows.labels, NUM_GROUPS)
        for model, prediction in enumerate(predictions):
            error = prediction - rows.labels
            for place, column in enumerate((np.abs(error), np.square(error), prediction)):
                self._sums[model, :, place] += np.bincount(groups, weights * column, NUM_GROUPS)
        self._add_to_sample(rows)

    def merge(self, other: Self) -> None:
        """Adds the sums of `other`."""
        super().merge(other)
        self.weights += other.weights
        self._labels += other._labels
        self._sums += other._sums
        for rows in other._sample:
            self._add_to_sample(rows)

    def estimates(self, model: int = 0) -> Estimates:
        """Metrics of one model: `mae`, `rmse`, `mean_prediction`, `mean_label` and `xauc`.

        `xauc` is the share of the sample's pairs whose greater label has the greater prediction
        (Zhan et al., KDD 2022).
        """
        result = self._new_estimates(model, METRICS["regression"], "a finite number")
        if self._low[model] == self._high[model]:
            result.refuse(["xauc"], f"every prediction is {self._low[model] + 0.0:.9g}")
        has_rows = self.weights > 0
        if "mae" in result.undefined:
            return result
        weight = with_and_without(self.weights, has_rows)
        absolute, squared, prediction = with_and_without(self._sums[model], has_rows).T
        columns = {
            "mae": ratio(absolute, weight),
            "rmse": np.sqrt(ratio(squared, weight).clip(min=0)),
            "mean_prediction": ratio(prediction, weight),
            "mean_label": ratio(with_and_without(self._labels, has_rows), weight),
        }
        if "xauc" not in result.undefined:
            columns["xauc"] = self._xauc(model, has_rows)
            if np.isnan(columns["xauc"][0]):
                result.refuse(["xauc"], "all labels are equal")
        for name, column in columns.items():
            result.put(name, column[0], column[1:], int(has_rows.sum()))
        return result

    def _xauc(self, model: int, has_rows: npt.NDArray[np.bool_]) -> Array:
        rows = self._settled_sample()
        sums = ranking.xauc_sums(
            rows.groups, NUM_GROUPS, rows.labels, rows.weights, rows.predictions[model]
        )
        own = np.diagonal(sums).T
        # Leaves out a group's pairs as the upper and as the lower one, its own pairs only once.
        without = sums.sum(axis=(0, 1)) - sums.sum(axis=1) - sums.sum(axis=0) + own
        return ratio(*np.concatenate([sums.sum(axis=(0, 1))[None], without[has_rows]]).T)

    def _add_to_sample(self, rows: TaskRows) -> None:
        self._sample.append(rows)
        self._num_sampled += len(rows)
        if self._num_sampled > 2 * MAX_XAUC_ROWS:
            self._settled_sample()

    def _settled_sample(self) -> TaskRows:
        first = self._sample[0]
        if len(self._sample) > 1 or len(first) > MAX_XAUC_ROWS:
            columns = ("labels", "weights", "rows", "units")
            joined = {
                name: np.concatenate([getattr(rows, name) for rows in self._sample])
                for name in columns
            }
            predictions = np.concatenate([rows.predictions for rows in self._sample], axis=1)
            all_rows = TaskRows(first.kind, predictions, **joined, has_key=first.has_key)
            lowest = np.argsort(all_rows.rows, kind="stable")[:MAX_XAUC_ROWS]
            self._sample = [all_rows[lowest]]
            self._num_sampled = len(lowest)
        return self._sample[0]
