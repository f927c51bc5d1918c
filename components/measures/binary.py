"""Statistics of a binary task that add up: shards, merged in any order, give the same metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from taskroute.components.measures import ranking
from taskroute.components.measures.counts import PredictionCounts
from taskroute.components.measures.estimates import Estimates, with_and_without
from taskroute.components.measures.jackknife import NUM_GROUPS, Spread, spread
from taskroute.components.measures.ranking import ratio
from taskroute.components.measures.rows import TaskRows
from taskroute.components.measures.sparse_sums import SparseSums
from taskroute.schemas.evaluation import METRICS

Array = npt.NDArray[np.float64]

# Predictions that share a bin count as ties in the AUC; so do those past a limit, which is a
# probability of 1e-7. A bin is 0.0005 wide: at 50 positives the AUC is off by less than 1e-4 as
# long as the logits' standard deviation is above 0.1.
NUM_BINS = 2**16
LOGIT_LIMIT = 16.0

# Fewer bins give the AUC without a group: only the differences between groups matter, and they
# are off by less than a hundredth.
_NUM_COARSE_BINS = 1024

_NUM_CALIBRATION_BINS = 20
_ROWS_OF_RARER_CLASS = 20

# Log loss takes a probability as at least this far from 0 and from 1; else one row could make it
# infinite. A sigmoid in float32 reaches 1 at a logit of 17.
PROBABILITY_MARGIN = 1e-7


@dataclass(frozen=True)
class CalibrationBin:
    """Rows next to each other by prediction: means of prediction and label.

    `spread` belongs to `actual` and is None where it is unknown.
    """

    predicted: float
    actual: float
    weight: float
    spread: Spread | None


class BinaryStatistics(PredictionCounts):
    """Sums over the rows of a binary task, by jackknife group.

    A prediction outside [0, 1] is invalid.

    Attributes:
        weights: (G, 2), sums of weights by group and label.
    """

    def __init__(self, num_models: int, has_key: bool):
        super().__init__(num_models)
        self.weights = np.zeros((NUM_GROUPS, 2))
        self._sums = np.zeros((num_models, NUM_GROUPS, 2))  # loss, prediction
        # Key: label, group and bin of the logit, from the highest bit down.
        self._histograms = [SparseSums() for _ in range(num_models)]
        # GAUC is exact and so keeps its rows: unit, label, weight, predictions.
        self._rows: list[tuple[npt.NDArray[np.generic], ...]] | None = [] if has_key else None

    def add(self, rows: TaskRows) -> None:
        """Adds rows that were scored by `num_models` models."""
        valid = (rows.predictions >= 0) & (rows.predictions <= 1)  # False for NaN
        rows, predictions = self._count(rows, valid, 0.5)
        if not len(rows):
            return
        groups, labels = rows.groups, rows.labels.astype(np.int64)
        self.weights += _by_cell(groups * 2 + labels, rows.weights, (NUM_GROUPS, 2))
        for model, probability in enumerate(predictions):
            loss = rows.weights * _log_loss(probability, labels)
            predicted = rows.weights * probability
            self._sums[model, :, 0] += np.bincount(groups, loss, NUM_GROUPS)
            self._sums[model, :, 1] += np.bincount(groups, predicted, NUM_GROUPS)
            cells = (labels * NUM_GROUPS + groups) * NUM_BINS + _bin_of(probability)
            self._histograms[model].add(cells.astype(np.int32), rows.weights)
        if self._rows is not None:
            keyed = np.ones(len(rows), np.bool_) if rows.keyed is None else rows.keyed
            self._rows.append(
                (
                    rows.units[keyed],
                    labels.astype(np.bool_)[keyed],
                    rows.weights.astype(np.float32)[keyed],
                    predictions.astype(np.float32)[:, keyed],
                )
            )

    def merge(self, other: Self) -> None:
        """Adds the sums of `other`."""
        super().merge(other)
        self.weights += other.weights
        self._sums += other._sums
        for mine, theirs in zip(self._histograms, other._histograms, strict=True):
            mine.merge(theirs)
        if self._rows is not None and other._rows is not None:
            self._rows += other._rows

    def estimates(self, model: int = 0) -> Estimates:
        """Metrics of one model.

        `auc`, `pr_auc`: see `ranking`. `gauc`: the AUC within each unit of the group key, weighted
        by its rows, without the rows that have no key. `log_loss`: mean, in nats.
        `normalized_entropy`: the log loss over that of a model which always predicts the actual
        rate (He et al., ADKDD 2014). `predicted_rate`, `actual_rate`: mean prediction and label;
        `calibration`: the first over the second. `ece`: mean |prediction - label| over 20 bins of
        equal weight (Guo et al., ICML 2017, in bins of Nixon et al., 2019).
        """
        names = METRICS["binary"]
        result = self._new_estimates(model, names, "a number in [0, 1]")
        self._refuse(result, model)
        has_rows = self.weights.sum(axis=1) > 0
        if not has_rows.any() or len(result.undefined) == len(names):
            return result
        negative, positive = with_and_without(self.weights, has_rows).T
        weight = negative + positive
        rate = positive / np.where(weight > 0, weight, np.nan)
        loss, predicted = with_and_without(self._sums[model], has_rows).T
        columns = {
            "log_loss": ratio(loss, weight),
            "normalized_entropy": ratio(ratio(loss, weight), _entropy(rate)),
            "calibration": ratio(predicted, positive),
            "predicted_rate": ratio(predicted, weight),
            "actual_rate": rate,
            **self._from_histogram(model, has_rows),
        }
        num_groups = dict.fromkeys(columns, int(np.count_nonzero(self.weights, axis=0).min()))
        num_groups["predicted_rate"] = int(has_rows.sum())
        if "gauc" not in result.undefined:
            sums = self._gauc_sums(model)
            num_groups["gauc"] = int(np.count_nonzero(sums[:, 1]))
            columns["gauc"] = ratio(*with_and_without(sums, has_rows).T)
            if not num_groups["gauc"]:
                result.refuse(["gauc"], "no unit of the group key has labels of both classes")
        for name, column in columns.items():
            result.put(name, column[0], column[1:], num_groups[name])
        return result

    def calibration_bins(self, model: int = 0) -> list[CalibrationBin]:
        """Bins of equal weight, by rising prediction; none without valid rows.

        There are as many as for `ece`, or fewer, so that each holds _ROWS_OF_RARER_CLASS rows of
        the rarer class: with less, the rate of a bin is chance.
        """
        has_rows = self.weights.sum(axis=1) > 0
        if not has_rows.any() or self.num_invalid[model]:
            return []
        cells, weights = self._histograms[model].settle()
        occupied, bins = np.unique(cells % NUM_BINS, return_inverse=True)
        groups, labels = cells // NUM_BINS % NUM_GROUPS, cells // (NUM_BINS * NUM_GROUPS)
        enough = int(self.weights.sum(axis=0).min() / _ROWS_OF_RARER_CLASS)
        num_bins = min(max(enough, 1), _NUM_CALIBRATION_BINS)
        cell = groups * num_bins + _calibration_bins(bins, weights, num_bins)
        weight, positive, predicted = (
            _by_cell(cell, values, (NUM_GROUPS, num_bins))
            for values in (weights, weights * labels, weights * _center_of(occupied)[bins])
        )
        rates = ratio(with_and_without(positive, has_rows), with_and_without(weight, has_rows))
        # As for the AUC, the groups that matter are those that hold the rarer class.
        num_groups = np.minimum(
            np.count_nonzero(positive, axis=0), np.count_nonzero(weight - positive, axis=0)
        )
        total, mean = weight.sum(axis=0), ratio(predicted.sum(axis=0), weight.sum(axis=0))
        return [
            CalibrationBin(
                float(mean[place]),
                float(rates[0, place]),
                float(total[place]),
                spread(rates[1:, place], int(num_groups[place])),
            )
            for place in np.flatnonzero(total > 0)
        ]

    def _refuse(self, result: Estimates, model: int) -> None:
        """Adds undefined metrics, with their reasons."""
        order = ("auc", "pr_auc", "gauc")
        negative, positive = self.weights.sum(axis=0)
        if self._rows is None:
            result.refuse(["gauc"], "the config has no `evaluation.group_key`")
        if not (negative and positive):
            reason = f"every label is {1 if positive else 0}"
            result.refuse((*order, "normalized_entropy"), reason)
            if not positive:
                result.refuse(["calibration"], reason)
        if self._low[model] == self._high[model]:
            result.refuse(order, f"every prediction is {self._low[model] + 0.0:.9g}")

    def _from_histogram(self, model: int, has_rows: npt.NDArray[np.bool_]) -> dict[str, Array]:
        cells, weights = self._histograms[model].settle()
        occupied, bins = np.unique(cells % NUM_BINS, return_inverse=True)
        groups, labels = cells // NUM_BINS % NUM_GROUPS, cells // (NUM_BINS * NUM_GROUPS)
        num_bins = len(occupied)
        fine = _by_cell(labels * num_bins + bins, weights, (1, 2, num_bins))
        coarse_of_bin = _coarse_bins(fine[0])
        num_coarse = int(coarse_of_bin[-1]) + 1
        shape = (NUM_GROUPS, 2, num_coarse)
        cell = (groups * 2 + labels) * num_coarse + coarse_of_bin[bins]
        coarse = with_and_without(_by_cell(cell, weights, shape), has_rows)[1:]

        error = weights * (_center_of(occupied)[bins] - labels)
        cell = groups * _NUM_CALIBRATION_BINS + _calibration_bins(
            bins, weights, _NUM_CALIBRATION_BINS
        )
        errors = _by_cell(cell, error, (NUM_GROUPS, _NUM_CALIBRATION_BINS))
        gaps = np.abs(with_and_without(errors, has_rows)).sum(axis=1)
        all_weight = with_and_without(self.weights.sum(axis=1), has_rows)
        return {
            "auc": _both(ranking.auc, fine, coarse),
            "pr_auc": _both(ranking.average_precision, fine, coarse),
            "ece": ratio(gaps, all_weight),
        }

    def _gauc_sums(self, model: int) -> Array:
        units, labels, weights, scores = (
            np.concatenate(column, axis=-1) for column in zip(*self._rows or (), strict=True)
        )
        groups = (units % np.uint64(NUM_GROUPS)).astype(np.int64)
        return ranking.gauc_sums(
            units, groups, NUM_GROUPS, labels, weights.astype(np.float64), scores[model]
        )


def _by_cell(cells: npt.NDArray[np.integer], values: Array, shape: tuple[int, ...]) -> Array:
    sums = np.bincount(cells, values, int(np.prod(shape)))
    return sums.astype(np.float64, copy=False).reshape(shape)


def _both(measure: Callable[[Array, Array], Array], fine: Array, coarse: Array) -> Array:
    return np.concatenate([measure(fine[:, 0], fine[:, 1]), measure(coarse[:, 0], coarse[:, 1])])


def _calibration_bins(
    bins: npt.NDArray[np.integer], weights: Array, num_bins: int
) -> npt.NDArray[np.int64]:
    """(N,), bin of each cell (N,): bins weigh about the same, and predictions rise with `bins`."""
    weight = np.bincount(bins, weights)
    middle = (np.cumsum(weight) - weight / 2) / weight.sum()
    return (middle * num_bins).astype(np.int64)[bins]


def _coarse_bins(fine: Array) -> npt.NDArray[np.int64]:
    """(B,), bins of about equal weight from weights (2, B), with both classes weighing the same."""
    num_bins = fine.shape[1]
    if num_bins <= _NUM_COARSE_BINS:
        return np.arange(num_bins)
    share = ratio(fine, np.broadcast_to(fine.sum(axis=1, keepdims=True), fine.shape), 0.0)
    mass = share.sum(axis=0)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    return np.minimum(middle * _NUM_COARSE_BINS, _NUM_COARSE_BINS - 1).astype(np.int64)


def _log_loss(probability: Array, labels: npt.NDArray[np.int64]) -> Array:
    clipped = np.clip(probability, PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
    return -np.where(labels == 1, np.log(clipped), np.log1p(-clipped))


def _bin_of(probability: Array) -> npt.NDArray[np.int64]:
    with np.errstate(divide="ignore"):  # 0 and 1 go to the outermost bins
        logit = np.log(probability) - np.log1p(-probability)
    position = (logit + LOGIT_LIMIT) * (NUM_BINS / (2 * LOGIT_LIMIT))
    return np.clip(position, 0, NUM_BINS - 1).astype(np.int64)


def _center_of(bins: npt.NDArray[np.integer]) -> Array:
    """Probability in the middle of each bin."""
    logits = (bins + 0.5) * (2 * LOGIT_LIMIT / NUM_BINS) - LOGIT_LIMIT
    return 1 / (1 + np.exp(-logits))


def _entropy(rate: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -rate * np.log(rate) - (1 - rate) * np.log1p(-rate)
    return np.nan_to_num(entropy)
