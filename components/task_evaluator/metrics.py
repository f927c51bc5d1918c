"""Metrics per task, computed from statistics that add up: `of(batch) + of(batch) + ...`.

A task's statistics have one size however many rows they hold, and their sum does not depend on
how the rows were cut into batches: one process and many give the same numbers.
"""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import FiniteFloat, NonNegativeInt

from taskroute.schemas.base import Config

# Predictions that share a bin count as ties in the AUC; so do those past a limit, which is a
# probability of 1e-7. A bin is 0.0005 wide: at 50 positives the AUC is off by less than 1e-4 as
# long as the logits' standard deviation is above 0.1.
NUM_BINS = 2**16
LOGIT_LIMIT = 16.0

# Log loss takes a probability as at least this far from 0 and from 1; else one row could make it
# infinite. A sigmoid in float32 reaches 1 at a logit of 17.
PROBABILITY_MARGIN = 1e-7

Array = npt.NDArray[np.float64]


class TaskMetrics(Config):
    """What was measured for one task on one set of rows.

    Attributes:
        kind: The task's kind, on which the names of the metrics depend.
        num_examples: Rows that have a label for this task.
        weight: Sum of the weights of those rows.
        num_invalid: Rows, labelled or not, whose prediction is no number that the task allows.
        values: Metric to its value; None where it is undefined.
        undefined: Metric without a value to the reason.
    """

    kind: Literal["binary", "regression"]
    num_examples: NonNegativeInt
    weight: FiniteFloat
    num_invalid: NonNegativeInt
    values: dict[str, FiniteFloat | None]
    undefined: dict[str, str]


@dataclass(frozen=True, eq=False)
class BinaryStatistics:
    """Sums over rows of a binary task.

    Attributes:
        histogram: float64 (2, NUM_BINS), the weight of rows by label and by bin of the logit.
        loss: Weighted sum of the log losses, in nats.
        prediction: Weighted sum of the predicted probabilities.
        num_examples: Rows with a weight above 0.
        num_invalid: Rows whose prediction is not in [0, 1].
    """

    histogram: Array
    loss: float
    prediction: float
    num_examples: int
    num_invalid: int

    @classmethod
    def empty(cls) -> Self:
        return cls(np.zeros((2, NUM_BINS)), 0.0, 0.0, 0, 0)

    @classmethod
    def of(cls, predictions: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike) -> Self:
        """Statistics of one batch.

        Args:
            predictions: float (B,), probabilities.
            labels: float (B,), 0 or 1 where the weight is above 0.
            weights: float (B,), 0 leaves a row out.

        Raises:
            ValueError: If a weight is negative or not finite, or a label neither 0 nor 1.
        """
        predictions, labels, weights = _columns(predictions, labels, weights)
        counted = weights > 0
        _refuse(labels[counted & ~np.isin(labels, (0, 1))], "a label must be 0 or 1")

        valid = (predictions >= 0) & (predictions <= 1)  # False for NaN
        kept = counted & valid
        probability, label, weight = predictions[kept], labels[kept], weights[kept]
        cell = _bin_of(probability) + NUM_BINS * label.astype(np.int64)
        histogram = np.bincount(cell, weight, minlength=2 * NUM_BINS).astype(np.float64)
        clipped = np.clip(probability, PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
        log_likelihood = np.where(label == 1, np.log(clipped), np.log1p(-clipped))
        return cls(
            histogram=histogram.reshape(2, NUM_BINS),
            loss=-float(weight @ log_likelihood),
            prediction=float(weight @ probability),
            num_examples=int(np.count_nonzero(counted)),
            num_invalid=int(np.count_nonzero(~valid)),
        )

    def __add__(self, other: Self) -> Self:
        return type(self)(
            histogram=self.histogram + other.histogram,
            loss=self.loss + other.loss,
            prediction=self.prediction + other.prediction,
            num_examples=self.num_examples + other.num_examples,
            num_invalid=self.num_invalid + other.num_invalid,
        )

    def metrics(self) -> TaskMetrics:
        """AUC, log loss, normalized entropy, rates and calibration.

        `auc`: the chance that a positive row scores above a negative one; ties count half.
        `log_loss`: mean, in nats. `normalized_entropy`: the log loss over that of a model which
        always predicts the actual rate (He et al., ADKDD 2014). `predicted_rate` and
        `actual_rate`: mean prediction and label. `calibration`: predicted over actual rate.
        """
        names = (
            "auc",
            "log_loss",
            "normalized_entropy",
            "predicted_rate",
            "actual_rate",
            "calibration",
        )
        values: dict[str, float | None] = dict.fromkeys(names)
        undefined: dict[str, str] = {}
        negatives, positives = (float(weight) for weight in self.histogram.sum(axis=1))
        weight = negatives + positives
        if self.num_invalid:
            reason = f"{_predictions(self.num_invalid)} not a number in [0, 1]"
            undefined = dict.fromkeys(names, reason)
        elif not weight:
            undefined = dict.fromkeys(names, "no row has a label")
        else:
            rate = positives / weight
            values["log_loss"] = self.loss / weight
            values["predicted_rate"] = self.prediction / weight
            values["actual_rate"] = rate
            if negatives and positives:
                values["auc"] = _auc(*self.histogram)
                values["normalized_entropy"] = self.loss / weight / _entropy(rate)
            else:
                reason = f"every label is {1 if positives else 0}"
                undefined |= {"auc": reason, "normalized_entropy": reason}
            if positives:
                values["calibration"] = self.prediction / positives
            else:
                undefined["calibration"] = "every label is 0"
        return TaskMetrics(
            kind="binary",
            num_examples=self.num_examples,
            weight=weight,
            num_invalid=self.num_invalid,
            values=values,
            undefined=undefined,
        )


@dataclass(frozen=True)
class RegressionStatistics:
    """Sums over rows of a regression task, in the units of the label's column.

    Attributes:
        weight: Sum of the weights.
        absolute_error: Weighted sum of |prediction - label|.
        squared_error: Weighted sum of (prediction - label) squared.
        prediction: Weighted sum of the predictions.
        label: Weighted sum of the labels.
        num_examples: Rows with a weight above 0.
        num_invalid: Rows whose prediction is not finite.
    """

    weight: float
    absolute_error: float
    squared_error: float
    prediction: float
    label: float
    num_examples: int
    num_invalid: int

    @classmethod
    def empty(cls) -> Self:
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)

    @classmethod
    def of(cls, predictions: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike) -> Self:
        """Statistics of one batch.

        Args:
            predictions: float (B,).
            labels: float (B,), finite where the weight is above 0.
            weights: float (B,), 0 leaves a row out.

        Raises:
            ValueError: If a weight is negative or not finite, or a label not finite.
        """
        predictions, labels, weights = _columns(predictions, labels, weights)
        counted = weights > 0
        _refuse(labels[counted & ~np.isfinite(labels)], "a label must be finite")

        valid = np.isfinite(predictions)
        kept = counted & valid
        prediction, label, weight = predictions[kept], labels[kept], weights[kept]
        error = prediction - label
        return cls(
            weight=float(weight.sum()),
            absolute_error=float(weight @ np.abs(error)),
            squared_error=float(weight @ np.square(error)),
            prediction=float(weight @ prediction),
            label=float(weight @ label),
            num_examples=int(np.count_nonzero(counted)),
            num_invalid=int(np.count_nonzero(~valid)),
        )

    def __add__(self, other: Self) -> Self:
        return type(self)(
            weight=self.weight + other.weight,
            absolute_error=self.absolute_error + other.absolute_error,
            squared_error=self.squared_error + other.squared_error,
            prediction=self.prediction + other.prediction,
            label=self.label + other.label,
            num_examples=self.num_examples + other.num_examples,
            num_invalid=self.num_invalid + other.num_invalid,
        )

    def metrics(self) -> TaskMetrics:
        """`mae`, `rmse`, `mean_prediction` and `mean_label`."""
        names = ("mae", "rmse", "mean_prediction", "mean_label")
        values: dict[str, float | None] = dict.fromkeys(names)
        undefined: dict[str, str] = {}
        if self.num_invalid:
            reason = f"{_predictions(self.num_invalid)} not a finite number"
            undefined = dict.fromkeys(names, reason)
        elif not self.weight:
            undefined = dict.fromkeys(names, "no row has a label")
        else:
            values["mae"] = self.absolute_error / self.weight
            values["rmse"] = float(np.sqrt(self.squared_error / self.weight))
            values["mean_prediction"] = self.prediction / self.weight
            values["mean_label"] = self.label / self.weight
        return TaskMetrics(
            kind="regression",
            num_examples=self.num_examples,
            weight=self.weight,
            num_invalid=self.num_invalid,
            values=values,
            undefined=undefined,
        )


Statistics = BinaryStatistics | RegressionStatistics

STATISTICS: dict[str, type[BinaryStatistics] | type[RegressionStatistics]] = {
    "binary": BinaryStatistics,
    "regression": RegressionStatistics,
}


def _columns(*columns: npt.ArrayLike) -> tuple[Array, Array, Array]:
    predictions, labels, weights = (np.asarray(column, np.float64) for column in columns)
    if not predictions.shape == labels.shape == weights.shape or predictions.ndim != 1:
        raise ValueError(
            "predictions, labels and weights must be vectors of one length. "
            f"Received: shapes {predictions.shape}, {labels.shape} and {weights.shape}"
        )
    _refuse(weights[~(np.isfinite(weights) & (weights >= 0))], "a weight must be finite and >= 0")
    return predictions, labels, weights


def _refuse(wrong: Array, rule: str) -> None:
    if wrong.size:
        raise ValueError(f"{rule}. Received: {wrong[0]}")


def _bin_of(probability: Array) -> npt.NDArray[np.int64]:
    with np.errstate(divide="ignore"):  # 0 and 1 go to the outermost bins
        logit = np.log(probability) - np.log1p(-probability)
    position = (logit + LOGIT_LIMIT) * (NUM_BINS / (2 * LOGIT_LIMIT))
    return np.clip(position, 0, NUM_BINS - 1).astype(np.int64)


def _auc(negatives: Array, positives: Array) -> float:
    negatives_below = np.cumsum(negatives) - negatives
    pairs_won = positives @ (negatives_below + negatives / 2)
    return float(pairs_won / (negatives.sum() * positives.sum()))


def _entropy(rate: float) -> float:
    return float(-rate * np.log(rate) - (1 - rate) * np.log1p(-rate))


def _predictions(count: int) -> str:
    return "1 prediction is" if count == 1 else f"{count} predictions are"
