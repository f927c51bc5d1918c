"""Rows of the page's tables, as text."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from taskroute.components.report.column_statistics import ColumnStatistics
from taskroute.components.report.importance import Importance
from taskroute.components.report.plot import number
from taskroute.components.report.report_data import ReportData
from taskroute.components.report.slices import RANKED_BY, worst_first
from taskroute.components.report.task_similarity import task_similarity
from taskroute.schemas.change_record import JudgedChange
from taskroute.schemas.evaluation import BETTER, METRICS
from taskroute.schemas.evaluation_record import (
    Difference,
    GateVerdict,
    Interval,
    MeasuredTask,
    Measurements,
    TaskMetrics,
    Verdict,
)
from taskroute.schemas.tasks import Task
from taskroute.schemas.training_record import TrainingRecord

Row = dict[str, Any]

_MINUS = "\N{MINUS SIGN}"

# Rows of a table of slices; all of them are in metrics.json.
MOST_SLICES = 100

_NAMES = {
    "auc": "AUC",
    "pr_auc": "PR-AUC",
    "gauc": "GAUC",
    "log_loss": "log loss (nats)",
    "normalized_entropy": "normalized entropy",
    "calibration": "calibration",
    "ece": "ECE",
    "predicted_rate": "predicted rate",
    "actual_rate": "actual rate",
    "mae": "MAE",
    "rmse": "RMSE",
    "xauc": "XAUC",
    "mean_prediction": "mean prediction",
    "mean_label": "mean label",
}
_HINTS = {1: "more is better", -1: "less is better"}
_MAIN = {
    "binary": ("auc", "gauc", "normalized_entropy", "calibration"),
    "regression": ("mae", "xauc"),
}
_RATES = frozenset({"predicted_rate", "actual_rate", "ece"})
_FOUR_DIGITS = frozenset({"auc", "pr_auc", "gauc", "xauc", "log_loss", "normalized_entropy"})


def metric_name(metric: str) -> str:
    """Name of a metric as a person knows it."""
    return _NAMES[metric]


def percent(share: float, digits: int = 1) -> str:
    """Formats 0.1234 as 12.3 %."""
    return f"{100 * share:.{digits}f} %"


def metric_value(metric: str, value: float | None) -> str:
    """Formats a metric with its significant digits; empty where it is undefined."""
    if value is None:
        return ""
    if value < 0:
        return f"{_MINUS}{metric_value(metric, -value)}"
    if metric in _RATES:
        return percent(value, 2)
    if metric in _FOUR_DIGITS:
        return f"{value:.4f}"
    return f"{value:.3f}" if metric == "calibration" else number(value)


def gate_rows(verdict: Verdict) -> list[Row]:
    """Row of each rule and slice, failed ones first."""
    order = {False: 0, True: 1, None: 2}
    rows = []
    for gate in sorted(verdict.gates, key=lambda gate: order[gate.passed]):
        show = _signed if gate.rule.startswith("may lose") else metric_value
        rows.append(
            {
                "name": f"{gate.task} {_NAMES[gate.metric]}",
                "slice": gate.slice or "all rows",
                "rule": gate.rule,
                "passed": gate.passed,
                "value": metric_value(gate.metric, gate.value),
                "baseline": metric_value(gate.metric, gate.baseline),
                "interval": _range(gate, partial(show, gate.metric)),
                "reason": gate.reason,
            }
        )
    return rows


def task_rows(measurements: Measurements) -> list[Row]:
    """Row of each task: main metrics, all metrics, and slices, the worst first."""
    rows = []
    for name, measured in measurements.compared.items():
        kind = measured.candidate.kind
        undefined = measured.candidate.undefined
        main = [metric for metric in _MAIN[kind] if metric != "gauc" or metric not in undefined]
        slices = worst_first(measurements, name)
        rows.append(
            {
                "name": name,
                "kind": kind,
                "main": [_metric_row(metric, measured) for metric in main],
                "all": [_metric_row(metric, measured) for metric in METRICS[kind]],
                "ranked_by": _NAMES[RANKED_BY[kind]],
                "rate_label": "rate" if kind == "binary" else "mean label",
                "slices": [
                    {
                        "name": one.name,
                        "rows": one.metrics.num_examples,
                        "rate": label_rate(one.metrics),
                        **_value_and_interval(RANKED_BY[kind], one.metrics),
                        "calibration": metric_value(
                            "calibration", one.metrics.values.get("calibration")
                        ),
                        "difference": _difference(RANKED_BY[kind], one.difference),
                        "is_worse": one.is_worse,
                    }
                    for one in slices[:MOST_SLICES]
                ],
                "more_slices": max(len(slices) - MOST_SLICES, 0),
                "num_worse": sum(one.is_worse for one in slices),
            }
        )
    return rows


def label_rate(metrics: TaskMetrics) -> str:
    """Share of label 1 of a binary task, mean label of a regression task."""
    metric = "actual_rate" if metrics.kind == "binary" else "mean_label"
    return metric_value(metric, metrics.values.get(metric))


def _metric_row(metric: str, measured: MeasuredTask) -> Row:
    candidate, baseline = measured.candidate, measured.baseline
    difference = measured.differences.get(metric)
    interval = difference.interval if difference else None
    judgement, tone = _judge(metric, interval) if difference else ("", "")
    return {
        "label": _NAMES[metric],
        "hint": "predicted ÷ actual, best at 1"
        if metric == "calibration"
        else _HINTS.get(BETTER.get(metric, 0), ""),
        **_value_and_interval(metric, candidate),
        "why": candidate.undefined.get(metric, ""),
        "baseline": metric_value(metric, baseline.values.get(metric)) if baseline else "",
        "difference": _difference(metric, difference),
        "difference_interval": _signed_interval(metric, interval),
        "judgement": judgement,
        "tone": tone,
    }


def _value_and_interval(metric: str, metrics: TaskMetrics) -> Row:
    interval = metrics.intervals.get(metric)
    return {
        "value": metric_value(metric, metrics.values.get(metric)),
        "interval": "" if interval is None else _range(interval, partial(metric_value, metric)),
    }


def _difference(metric: str, difference: Difference | None) -> str:
    return "" if difference is None else _signed(metric, difference.value)


def _signed(metric: str, value: float) -> str:
    return f"{'+' if value >= 0 else ''}{metric_value(metric, value)}"


def _signed_interval(metric: str, interval: Interval | None) -> str:
    return "" if interval is None else _range(interval, partial(_signed, metric))


def _range(interval: Interval | GateVerdict | JudgedChange, show: Callable[[Any], str]) -> str:
    if interval.low is None or interval.high is None:
        return ""
    return f"{show(interval.low)} to {show(interval.high)}"


def _judge(metric: str, interval: Interval | None) -> tuple[str, str]:
    """Judgement on a paired difference in a word, and the CSS class of that word."""
    sign = BETTER.get(metric, 0)
    if interval is None or interval.low <= 0 <= interval.high:
        return "no difference", ""
    if not sign:
        return "differs", ""
    return ("better", "good-word") if sign * interval.low > 0 else ("worse", "bad-word")


def label_rows(data: ReportData) -> list[Row]:
    """Row of each task: its label in words, and its rate in the test split."""
    metrics = data.measurements.tasks if data.measurements else {}
    return [
        {
            "name": task.name,
            "label": _label(task),
            "where": f"{task.trained_where} is 1" if task.trained_where else "all rows",
            "rows": f"{metrics[task.name].num_examples:,}" if task.name in metrics else "",
            "rate": label_rate(metrics[task.name]) if task.name in metrics else "",
        }
        for task in data.config.tasks
    ]


def _label(task: Task) -> str:
    label = task.label
    match label.rules:
        case {"at_least": least}:
            return f"{label.column} ≥ {least:g}"
        case {"at_most": largest}:
            return f"{label.column} ≤ {largest:g}"
        case {"between": (least, largest)}:
            return f"{label.column} from {least:g} to {largest:g}"
        case {"equals": _} | {"in": _}:
            values = (one if isinstance(one, str) else f"{one:g}" for one in label.accepted)
            return f"{label.column} = {' or '.join(values)}"
    return label.column if label.transform == "none" else f"{label.transform}({label.column})"


def column_rows(columns: Sequence[ColumnStatistics], splits: Sequence[str]) -> list[Row]:
    """Row of each column: missing values, and distinct values or means, by split."""
    by_column: dict[str, dict[str, ColumnStatistics]] = {}
    for one in columns:
        by_column.setdefault(one.column, {})[one.split] = one
    rows = []
    for column, by_split in by_column.items():
        cells = [by_split.get(split) for split in splits]
        is_text = any(one is not None and one.num_distinct is not None for one in cells)
        rows.append(
            {
                "column": column,
                "missing": [
                    "" if one is None else percent(one.num_missing / max(one.num_rows, 1), 2)
                    for one in cells
                ],
                "what": "distinct values" if is_text else "mean",
                "values": ["" if one is None else _summary(one) for one in cells],
            }
        )
    return rows


def _summary(column: ColumnStatistics) -> str:
    if column.num_distinct is not None:
        return f"{column.num_distinct:,}"
    return "" if column.mean is None else number(column.mean)


def change_rows(changes: Sequence[JudgedChange]) -> list[Row]:
    """Row of each change of a day or of a serving log; `share` is its share of the limit."""
    rows = []
    for one in changes:
        rows.append(
            {
                "signal": one.signal_name.replace("_", " "),
                "about": one.about,
                "name": one.name,
                "before": one.level(one.before),
                "now": one.level(one.levels.get(one.now)),
                "change": "" if one.change is None else one.signed(one.change),
                "interval": _range(one, one.signed),
                "ordinary": one.amount(one.ordinary),
                "limit": one.amount(one.limit),
                "share": round(min(one.shown / one.limit, 1.0), 4),
                "alert": one.alert,
                "stops": one.alert and one.stop,
                "moved": one.moved,
            }
        )
    return rows


def importance_rows(importance: Importance) -> list[Row]:
    """Row of each column, the most important first; `share` is that of the task's largest loss."""
    largest = {
        task: max([loss.value for loss in _losses(importance, task)], default=0.0)
        for task in importance.metrics
    }
    rows = []
    for column in importance.columns:
        cells = []
        for task, metric in importance.metrics.items():
            loss = column.losses[task]
            share = max(loss.value, 0.0) / largest[task] if loss and largest[task] > 0 else 0.0
            cells.append(
                {
                    "value": _difference(metric, loss),
                    "interval": _signed_interval(metric, loss.interval if loss else None),
                    "share": round(share, 3),
                }
            )
        readers = "" if column.features in ((), (column.column,)) else ", ".join(column.features)
        rows.append({"column": column.column, "readers": readers, "cells": cells})
    return rows


def _losses(importance: Importance, task: str) -> Iterator[Difference]:
    for column in importance.columns:
        loss = column.losses[task]
        if loss is not None:
            yield loss


def similarity_rows(training: TrainingRecord, tasks: Sequence[str]) -> list[Row]:
    """Row of each task; none where there is only one."""
    if len(tasks) < 2:
        return []
    table = task_similarity(training.routing, tasks)
    return [
        {"task": task, "values": values.tolist()} for task, values in zip(tasks, table, strict=True)
    ]
