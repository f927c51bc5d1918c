"""Slices of the test split, the worst first."""

from dataclasses import dataclass

from taskroute.schemas.evaluation import BETTER
from taskroute.schemas.evaluation_record import (
    Difference,
    MeasuredSlice,
    Measurements,
    TaskMetrics,
)

# Metric that ranks the slices, by kind of task.
RANKED_BY = {"binary": "auc", "regression": "mae"}


@dataclass(frozen=True)
class RankedSlice:
    """One slice of one task.

    Attributes:
        name: "column=value", or "column missing".
        metrics: Metrics of the candidate.
        difference: Candidate minus baseline in the metric of `RANKED_BY`, where both define it.
        is_worse: Whether the metric's whole interval is worse than its value on all rows.
    """

    name: str
    metrics: TaskMetrics
    difference: Difference | None
    is_worse: bool


def worst_first(measurements: Measurements, task: str) -> list[RankedSlice]:
    """Ranks the slices with a labelled row of the task.

    Slices that are shown to be worse than all rows come first. Both parts are ordered by the
    metric, undefined ones last. Few rows make a low value by chance alone: without the first rule
    the smallest slices would hide the worst.
    """
    overall = measurements.tasks[task]
    metric = RANKED_BY[overall.kind]
    ranked = [
        _rank(one, task, metric, overall.values[metric])
        for one in measurements.slices
        if one.tasks[task].candidate.num_examples
    ]
    sign = BETTER[metric]

    def order(one: RankedSlice) -> tuple[bool, bool, float]:
        value = one.metrics.values[metric]
        return not one.is_worse, value is None, sign * (value or 0.0)

    return sorted(ranked, key=order)


def _rank(one: MeasuredSlice, task: str, metric: str, overall: float | None) -> RankedSlice:
    metrics = one.tasks[task]
    name = one.name if one.value else f"{one.column} missing"
    interval = metrics.candidate.intervals.get(metric)
    best = None
    if interval is not None:
        best = interval.high if BETTER[metric] > 0 else interval.low
    is_worse = best is not None and overall is not None and BETTER[metric] * (best - overall) < 0
    return RankedSlice(name, metrics.candidate, metrics.differences.get(metric), is_worse)
