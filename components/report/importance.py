"""Permutation importance: the loss of a task's metric without the information of one column.

The values of a column are permuted among the rows. The loss of a metric is then the use that the
model makes of this column alone. Columns with the same information stand in for each other, and
each then seems less useful than it is.

Reference: Breiman, "Random Forests", Machine Learning 45, 2001, section 10.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeInt, PositiveInt

from taskroute.components.measures.binary import BinaryStatistics
from taskroute.components.measures.estimates import Estimates, with_and_without
from taskroute.components.measures.jackknife import NUM_GROUPS, spread
from taskroute.components.measures.ranking import ratio
from taskroute.components.measures.rows import Kind, TaskRows
from taskroute.components.measures.task_metrics import make_interval
from taskroute.schemas.base import Config
from taskroute.schemas.evaluation import BETTER, Metric
from taskroute.schemas.evaluation_record import Difference

METRIC: dict[Kind, Metric] = {"binary": "auc", "regression": "mae"}

Columns = Mapping[str, npt.NDArray[Any]]
Predict = Callable[[Columns], Mapping[str, npt.NDArray[np.floating[Any]]]]


class ColumnImportance(Config):
    """Loss of each task's metric without a column; a loss is positive, whatever the metric.

    Attributes:
        column: Name of the column.
        features: Names of the features that read the column.
        losses: Loss by task; None where the metric is undefined.
    """

    column: str
    features: tuple[str, ...] = ()
    losses: dict[str, Difference | None]


class Importance(Config):
    """Importance of every column, the most important first.

    Attributes:
        num_rows: Rows of the test split, drawn at random.
        repeats: Number of permutations of each column; losses are means over them.
        seed: Seed of the drawn rows and of the permutations.
        confidence: Confidence level of the intervals.
        metrics: Task to the metric that it is judged by.
        columns: Columns, ordered by the lower end of the loss's interval as a share of the task's
            largest loss, in the mean over the tasks; then by the loss itself.
    """

    num_rows: PositiveInt
    repeats: PositiveInt
    seed: NonNegativeInt
    confidence: float
    metrics: dict[str, Metric]
    columns: tuple[ColumnImportance, ...]


def permutation_importance(
    predict: Predict,
    columns: Columns,
    rows: Mapping[str, TaskRows],
    *,
    repeats: int = 3,
    seed: int = 1,
    confidence: float = 0.95,
    features: Mapping[str, Sequence[str]] | None = None,
) -> Importance:
    """Measures the importance of every column.

    Args:
        predict: The model: from columns to (N,) predictions by task.
        columns: Inputs of the model, (N, ...) by name.
        rows: Labels, weights and units of the N rows by task, and, as the only model, the
            predictions for `columns` as they are.
        repeats: Number of permutations of each column.
        seed: Seed of the permutations.
        confidence: Confidence level of the intervals.
        features: Names of the features that read each column.

    Raises:
        ValueError: If `repeats` is below 1.
    """
    if repeats < 1:
        raise ValueError(f"`repeats` must be at least 1. Received: repeats={repeats}")
    num_rows = len(next(iter(columns.values())))
    random = np.random.default_rng(seed)
    whole = {
        task: _estimate(task_rows, task_rows.predictions[0]) for task, task_rows in rows.items()
    }
    importances = []
    for column, values in columns.items():
        permuted = [
            predict({**columns, column: values[random.permutation(num_rows)]})
            for _ in range(repeats)
        ]
        losses = {
            task: _loss(
                METRIC[task_rows.kind],
                whole[task],
                [_estimate(task_rows, scores[task]) for scores in permuted],
                confidence,
            )
            for task, task_rows in rows.items()
        }
        readers = tuple((features or {}).get(column, ()))
        importances.append(ColumnImportance(column=column, features=readers, losses=losses))
    return Importance(
        num_rows=num_rows,
        repeats=repeats,
        seed=seed,
        confidence=confidence,
        metrics={task: METRIC[task_rows.kind] for task, task_rows in rows.items()},
        columns=tuple(_ranked(importances)),
    )


def _estimate(rows: TaskRows, predictions: npt.NDArray[np.floating[Any]]) -> Estimates:
    """Metric of the task's kind, and its values without each group."""
    scored = replace(rows, predictions=predictions[np.newaxis].astype(np.float64), has_key=False)
    if rows.kind == "binary":
        statistics = BinaryStatistics(1, has_key=False)
        statistics.add(scored)
        return statistics.estimates()
    # Not RegressionStatistics, which would compare all pairs of rows for a metric not asked for.
    result = Estimates({METRIC[rows.kind]: None})
    error = np.abs(scored.predictions[0] - rows.labels)
    weight, total = (
        np.bincount(rows.groups, values, NUM_GROUPS).astype(np.float64)
        for values in (rows.weights, np.where(rows.weights > 0, rows.weights * error, 0.0))
    )
    has_rows = weight > 0
    if has_rows.any() and np.isfinite(total).all():
        means = ratio(with_and_without(total, has_rows), with_and_without(weight, has_rows))
        result.put(METRIC[rows.kind], means[0], means[1:], int(has_rows.sum()))
    return result


def _loss(
    metric: str, whole: Estimates, permuted: Sequence[Estimates], confidence: float
) -> Difference | None:
    """Mean loss over the repeats; its interval is paired by the groups of the jackknife."""
    if any(estimates.values[metric] is None for estimates in (whole, *permuted)):
        return None
    sign = BETTER[metric]
    mean = float(np.mean([estimates.values[metric] for estimates in permuted]))
    value = sign * ((whole.values[metric] or 0.0) - mean)
    left_out = np.mean([estimates.left_out[metric] for estimates in permuted], axis=0)
    error = spread(sign * (whole.left_out[metric] - left_out), whole.num_groups[metric])
    return Difference(value=value, interval=make_interval(value, error, confidence))


def _ranked(columns: Sequence[ColumnImportance]) -> list[ColumnImportance]:
    """Columns by shown loss, the largest first: a task with few rows must not decide by chance."""

    def lows(column: ColumnImportance) -> list[float]:
        intervals = (loss and loss.interval for loss in column.losses.values())
        return [interval.low if interval else 0.0 for interval in intervals]

    def values(column: ColumnImportance) -> list[float]:
        return [loss.value if loss else 0.0 for loss in column.losses.values()]

    by_low, by_value = (_mean_share([*map(losses, columns)]) for losses in (lows, values))
    return [columns[place] for place in np.lexsort((-by_value, -by_low))]


def _mean_share(table: Sequence[Sequence[float]]) -> npt.NDArray[np.float64]:
    """(C,), mean over tasks of the losses (C, T) as shares of the task's largest."""
    losses = np.maximum(np.asarray(table), 0.0)
    largest = losses.max(axis=0, initial=0.0)
    return (losses / np.where(largest > 0, largest, 1.0)).mean(axis=1)
