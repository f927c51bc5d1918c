"""Metrics and intervals of a task, from its statistics."""

from taskroute.components.measures.binary import BinaryStatistics
from taskroute.components.measures.estimates import Estimates
from taskroute.components.measures.jackknife import Spread
from taskroute.components.measures.regression import RegressionStatistics
from taskroute.schemas.evaluation_record import (
    Difference,
    Interval,
    MeasuredTask,
    ReliabilityBin,
    TaskMetrics,
)

# Metrics that lie between 0 and 1 and whose intervals must, too.
SHARES = frozenset({"auc", "pr_auc", "gauc", "xauc"})

Statistics = BinaryStatistics | RegressionStatistics


def measure(statistics: Statistics, confidence: float) -> MeasuredTask:
    """Metrics, intervals and differences from the statistics of one task and slice."""
    models = range(len(statistics.num_invalid))
    estimates = [statistics.estimates(model) for model in models]
    metrics = [_task_metrics(statistics, model, estimates[model], confidence) for model in models]
    if len(metrics) == 1:
        return MeasuredTask(candidate=metrics[0])
    difference = estimates[0].minus(estimates[1])
    return MeasuredTask(
        candidate=metrics[0],
        baseline=metrics[1],
        differences={
            name: Difference(
                value=value or 0.0,
                interval=make_interval(value or 0.0, difference.spread(name), confidence),
            )
            for name, value in difference.values.items()
        },
    )


def _task_metrics(
    statistics: Statistics, model: int, estimates: Estimates, confidence: float
) -> TaskMetrics:
    intervals = {
        name: make_interval(value, estimates.spread(name), confidence, name in SHARES)
        for name, value in estimates.values.items()
        if value is not None
    }
    return TaskMetrics(
        kind="binary" if isinstance(statistics, BinaryStatistics) else "regression",
        num_examples=statistics.num_examples,
        weight=float(statistics.weights.sum()),
        num_invalid=int(statistics.num_invalid[model]),
        values=estimates.values,
        undefined=estimates.undefined,
        intervals={name: one for name, one in intervals.items() if one is not None},
        reliability=_reliability(statistics, model, confidence),
    )


def _reliability(
    statistics: Statistics, model: int, confidence: float
) -> tuple[ReliabilityBin, ...]:
    if not isinstance(statistics, BinaryStatistics):
        return ()
    bins = []
    for bin_ in statistics.calibration_bins(model):
        interval = make_interval(bin_.actual, bin_.spread, confidence, True)
        bins.append(
            ReliabilityBin(
                predicted=bin_.predicted,
                actual=bin_.actual,
                weight=bin_.weight,
                low=interval and interval.low,
                high=interval and interval.high,
            )
        )
    return tuple(bins)


def make_interval(
    value: float, spread: Spread | None, confidence: float, is_share: bool = False
) -> Interval | None:
    """Interval around a value, with its standard error; None without a spread."""
    if spread is None:
        return None
    low, high = spread.interval(value, confidence, is_share=is_share)
    return Interval(
        low=low,
        high=high,
        standard_error=spread.standard_error,
        degrees_of_freedom=spread.degrees_of_freedom,
    )
