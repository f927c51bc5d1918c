"""Corrects the probabilities of binary tasks by rising maps of their logits.

The validation split is reduced to sums by bin of the logit, and maps are fitted on these.
Shape letters: B rows, N bins, K knots.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from taskroute.models.ranker import MultiTaskRanker
from taskroute.schemas.serving import Calibration
from taskroute.schemas.training_record import CalibrationFit, TaskCalibration

_BINS, _LARGEST_LOGIT = 8192, 20.0
_LEAST_SLOPE = 0.05
_PRIOR = 50.0
_MOST_GROUPS = 32
# Expected variance of a group's sum of labels: the standard error of its rate is about a fifth.
_GROUP_VARIANCE = 25.0
_TILT = 0.1


@dataclass(frozen=True)
class LogitMap:
    """Rising, piecewise linear map from logit to logit.

    It rises strictly in the reals and never falls in float32, so that it preserves every order.

    Args:
        knots: Logits, strictly rising: float32 (K,).
        values: Mapped logits at the knots, strictly rising: float32 (K,).
        slope: Slope of the map beyond its outermost knots; positive.
    """

    knots: np.ndarray
    values: np.ndarray
    slope: float

    def __call__(self, logits: tf.Tensor) -> tf.Tensor:
        """Maps float32 (B,) to float32 (B,)."""
        if len(self.knots) == 1:
            return (logits - self.knots[0]) * self.slope + self.values[0]
        inner = np.diff(self.values) / np.diff(self.knots)
        slopes = np.array([self.slope, *inner, self.slope], np.float32)
        # Rounding could lift the end of a piece above the start of the next.
        ceilings = np.append(self.values, np.inf).astype(np.float32)
        pieces = tf.searchsorted(self.knots, logits, side="right")
        anchors = tf.maximum(pieces - 1, 0)
        risen = (logits - tf.gather(self.knots, anchors)) * tf.gather(slopes, pieces)
        return tf.minimum(tf.gather(self.values, anchors) + risen, tf.gather(ceilings, pieces))


class LogitSums:
    """Sums by bin of the logit: weights of rows, weights of positive rows, weighted logits."""

    def __init__(self) -> None:
        self._sums = np.zeros((3, _BINS))

    def add(self, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> None:
        """Adds rows: float32 (B,) each, where a weight of 0 leaves a row out."""
        places = (logits / _LARGEST_LOGIT + 1) * (_BINS / 2)
        bins = np.clip(places, 0, _BINS - 1).astype(int)
        for total, values in zip(
            self._sums, (weights, weights * labels, weights * logits), strict=True
        ):
            total += np.bincount(bins, values, minlength=_BINS)

    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean logit, weight and positive weight of each bin with rows; (N,) each."""
        weights, positives, logits = self._sums[:, self._sums[0] > 0]
        return logits / weights, weights, positives


def fit_calibrations(
    ranker: MultiTaskRanker, validation: tf.data.Dataset, calibration: Calibration
) -> dict[str, TaskCalibration]:
    """Fits the calibrations of a ranker's binary tasks.

    Args:
        ranker: Trained ranker; gets a `LogitMap` for each calibrated task.
        validation: Batches of features, labels and weights that training did not fit.
        calibration: Config of the method for each task.

    Returns:
        Corrections by calibrated task. A task without validation rows stays as it is and is left
        out.
    """
    binary = [task for task in ranker.tasks if task.kind == "binary"]
    tasks = [task for task in binary if calibration.method_of(task.name) != "none"]
    if not tasks:
        return {}
    sums = {task.name: LogitSums() for task in tasks}
    for batch in validation:
        logits = ranker(batch, training=False)
        for task in tasks:
            columns = (logits[task.name], batch[task.label_key], batch[task.weight_key])
            sums[task.name].add(*(column.numpy() for column in columns))
    fits, maps = {}, {}
    for task in tasks:
        points = sums[task.name].points()
        if not len(points[0]):
            continue
        method = calibration.method_of(task.name)
        rise = fit_platt(*points) if method == "platt" else fit_isotonic(*points)
        maps[task.name] = rise
        fits[task.name] = TaskCalibration(
            method=method,
            knots=len(rise.knots),
            before=_measure_fit(*points),
            after=_measure_fit(_apply(rise, points[0]), *points[1:]),
        )
    ranker.calibrations = maps
    return fits


def fit_platt(logits: np.ndarray, weights: np.ndarray, positives: np.ndarray) -> LogitMap:
    """Fits a line on the logit, by maximum likelihood of the labels.

    The model learned the rates from more rows than validation has: slope and value at the mean
    logit have normal priors around no correction, with the weight of rows of a summed variance of
    50 (docs/serving.md). With few positives the line stays near the logit; with thousands of rows
    the priors do not matter. The slope is at least 0.05.

    Reference: Platt, "Probabilistic Outputs for Support Vector Machines", 1999, Eq. 1; the priors
    are ours.

    Args:
        logits: Mean logits of bins, (N,).
        weights: Weights of the bins, (N,).
        positives: Weights of the rows with label 1, (N,).
    """
    middle = float(np.average(logits, weights=weights))
    inputs = np.stack([logits - middle, np.ones_like(logits)])
    no_correction = np.array([1.0, middle])

    def loss(line: np.ndarray) -> float:
        outputs = line @ inputs
        bits = weights * np.logaddexp(0, outputs) - positives * outputs
        return float(bits.sum() + _PRIOR / 2 * np.sum((line - no_correction) ** 2))

    def newton(line: np.ndarray, free: np.ndarray) -> np.ndarray:
        for _ in range(100):
            rates = expit(line @ inputs)
            gradient = inputs @ (weights * rates - positives) + _PRIOR * (line - no_correction)
            spread = weights * rates * (1 - rates)
            curvature = (inputs * spread) @ inputs.T + _PRIOR * np.eye(2)
            step = np.zeros(2)
            step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
            # A full step may overshoot where rates are near 0 or 1.
            while loss(line - step) > loss(line) and np.abs(step).max() > 1e-10:
                step /= 2
            line = line - step
            if np.abs(step).max() < 1e-10:
                break
        return line

    slope, value = newton(no_correction, np.array([0, 1]))
    if slope < _LEAST_SLOPE:
        slope, value = newton(np.array([_LEAST_SLOPE, middle]), np.array([1]))
    return LogitMap(np.array([middle], np.float32), np.array([value], np.float32), float(slope))


def fit_isotonic(logits: np.ndarray, weights: np.ndarray, positives: np.ndarray) -> LogitMap:
    """Fits a rising curve through the rates of groups of rows, by pooling adjacent violators.

    The groups, at most 32, have equal expected variance, so that their rates are equally certain.
    Pooled groups would tie; a tenth of Platt's line in the curve keeps it rising. The curve has the
    mean prediction of the line, and the slope of the line beyond the outermost groups.

    Reference: Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass
    Probability Estimates", KDD 2002, section 3; groups, line and interpolation are ours.

    Args:
        logits: Mean logits of bins, rising, (N,).
        weights: Weights of the bins, (N,).
        positives: Weights of the rows with label 1, (N,).
    """
    line = fit_platt(logits, weights, positives)
    line_rates = expit(_apply(line, logits))
    variances = weights * line_rates * (1 - line_rates)
    totals = np.cumsum(variances)
    count = int(np.clip(totals[-1] // _GROUP_VARIANCE, 1, _MOST_GROUPS))
    groups = np.minimum(((totals - variances / 2) * (count / totals[-1])).astype(int), count - 1)
    group_weights, group_positives, expected = (
        np.bincount(groups, values, minlength=count)
        for values in (weights, positives, weights * line_rates)
    )
    has_rows = group_weights > 0
    # Not the mean logit: rates are no straight line of it, and groups in the tails are wide.
    group_values = logit(expected[has_rows] / group_weights[has_rows])
    knots = ((group_values - line.values[0]) / line.slope + line.knots[0]).astype(np.float32)
    group_rates = group_positives[has_rows] / group_weights[has_rows]
    least = 0.5 / max(group_weights[has_rows].min(), 1.0)
    rising = isotonic_regression(group_rates, weights=group_weights[has_rows]).x
    rates = np.clip(rising, least, 1 - least)
    values = (1 - _TILT) * logit(rates) + _TILT * group_values
    rises = np.append(True, (np.diff(knots) > 0) & (np.diff(values.astype(np.float32)) > 0))
    curve = LogitMap(knots[rises], values[rises].astype(np.float32), line.slope)
    outputs, shift = _apply(curve, logits), 0.0
    for _ in range(50):
        rates = expit(outputs + shift)
        step = weights @ (line_rates - rates) / (weights @ (rates * (1 - rates)))
        shift += np.clip(step, -1, 1)
    return LogitMap(curve.knots, curve.values + np.float32(shift), line.slope)


def _measure_fit(logits: np.ndarray, weights: np.ndarray, positives: np.ndarray) -> CalibrationFit:
    """Measures calibration and log loss of bins."""
    losses = weights * np.logaddexp(0, logits) - positives * logits
    total = positives.sum()
    return CalibrationFit(
        calibration=float(weights @ expit(logits) / total) if total else None,
        log_loss=float(losses.sum() / weights.sum()),
    )


def _apply(rise: LogitMap, logits: np.ndarray) -> np.ndarray:
    """Maps logits in float64."""
    if len(rise.knots) == 1:
        return rise.slope * (logits - rise.knots[0]) + rise.values[0]
    first, last = rise.knots[[0, -1]]
    beyond = np.minimum(logits - first, 0) + np.maximum(logits - last, 0)
    return np.interp(logits, rise.knots, rise.values) + rise.slope * beyond
