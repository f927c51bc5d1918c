"""The report as one HTML file that loads nothing.

The template escapes every text of a log, a config or an error. There are no scripts, and the page's
own policy forbids them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from taskroute.components.report import figures, tables
from taskroute.components.report.plot import number
from taskroute.components.report.report_data import ReportData
from taskroute.components.report.routing_figure import routing_figure
from taskroute.schemas.change_record import num_judged
from taskroute.schemas.log_splits import TimeRange

# More lines than a person can follow; the page has the numbers all the same.
_MOST_ROUTES_DRAWN = 4000

# Plots of levels by span: alerts come first.
_MOST_LEVELS_DRAWN = 12

_LOSS_UNITS = {"binary": "log loss, nats", "regression": "squared error"}


@dataclass(frozen=True)
class Headline:
    """Decision on the run: title, reason and served version; `tone` is good, bad or warn."""

    tone: str
    title: str
    sentences: tuple[str, ...]


def render(data: ReportData) -> str:
    """Renders the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(_context(data))


def headline(data: ReportData) -> Headline:
    """Words the decision from the data of the run."""
    if data.failed_stage is not None or data.error is not None:
        where = f" at {data.failed_stage}" if data.failed_stage else " before its first stage"
        why = data.error or "The run was interrupted."
        return Headline("bad", f"Stopped{where}: nothing pushed", (why, _what_serves(data)))
    check, verdict = data.serving_check, data.verdict
    if check is not None and not check.passed:
        return Headline("bad", "Does not serve: not pushed", (check.summary, _what_serves(data)))
    if verdict is None:
        return Headline("warn", "Not evaluated", (_what_serves(data),))
    if not verdict.blessed:
        title = "Not blessed: not pushed"
        return Headline("bad", title, (_sentence(verdict.summary), _what_serves(data)))
    sentences = (_sentence(verdict.summary), _what_serves(data))
    if data.pushed_version is None:
        return Headline("warn", "Blessed, not pushed", sentences)
    baseline = data.measurements and data.measurements.baseline
    if baseline and baseline.version == data.pushed_version:
        return Headline("good", "Blessed: the model that served already", sentences)
    return Headline("good", f"Blessed and pushed as version {data.pushed_version}", sentences)


def _sentence(summary: str) -> str:
    return f"{summary[:1].upper()}{summary[1:]}."


def _what_serves(data: ReportData) -> str:
    serving, pushed = data.serving_version, data.pushed_version
    if serving is None:
        return "Nothing serves."
    if pushed is None:
        return f"Version {serving} goes on serving."
    if pushed == serving:
        return f"Version {serving} serves."
    return f"It was version {pushed}; version {serving} serves now."


def _context(data: ReportData) -> dict[str, Any]:
    names = [task.name for task in data.config.tasks]
    measurements = data.measurements
    tasks = tables.task_rows(measurements) if measurements else []
    label_columns = {task.label.column for task in data.config.tasks}
    splits = [split for split in ("train", "validation", "test") if split in data.rows]
    context = {
        "data": data,
        "headline": headline(data),
        "gates": tables.gate_rows(data.verdict) if data.verdict else [],
        "measured": measurements,
        "has_baseline": measurements is not None and measurements.baseline is not None,
        "tasks": tasks,
        "has_slices": any(task["slices"] for task in tasks),
        **_calibration(data),
        "importance": tables.importance_rows(data.importance) if data.importance else [],
        "total_seconds": sum((stage.seconds for stage in data.stages if not stage.cached), 0.0),
        "splits": splits,
        "times": _times(data),
        "num_rows": sum(data.rows.values()),
        "num_bad_rows": sum(data.bad_rows.values()),
        "has_conditions": any(task.trained_where for task in data.config.tasks),
        "label_rows": tables.label_rows(data),
        "label_columns": tables.column_rows(
            [one for one in data.columns if one.column in label_columns], splits
        ),
        "feature_columns": tables.column_rows(
            [one for one in data.columns if one.column not in label_columns], splits
        ),
        **_changes(data),
        **_training(data, names),
        "lineage": list(_lineage(data)),
        "config_text": yaml.safe_dump(
            data.config.model_dump(mode="json", exclude_unset=True),
            sort_keys=False,
            allow_unicode=True,
        ),
        "number": number,
        "percent": tables.percent,
        "metric_name": tables.metric_name,
    }
    return {**context, "sections": list(_sections(data))}


def _times(data: ReportData) -> dict[str, TimeRange | None]:
    """First and last time of each split; empty where the split is not by time."""
    if data.log_splits is None or data.log_splits.times is None:
        return {}
    return {name: split.times for name, split in data.log_splits.splits.items()}


def _sections(data: ReportData) -> Iterator[tuple[str, str]]:
    """Id and name of the page's sections, in their order."""
    yield "verdict", "Verdict"
    for id_, name, is_there in (
        ("metrics", "Metrics", data.measurements),
        ("importance", "Importance", data.importance),
        ("stages", "Stages", data.stages),
        ("data", "Data", data.rows or data.columns or data.bad_rows),
        ("changes", "Changes", data.changes or data.serving_changes),
        ("training", "Learning curves", data.training),
        ("routes", "Routes", data.training),
        ("cost", "Cost", data.training),
        ("serving", "Serving", data.serving_check),
    ):
        if is_there:
            yield id_, name
    yield "lineage", "Lineage"


def _calibration(data: ReportData) -> dict[str, Any]:
    measurements = data.measurements
    if measurements is None:
        return {"calibration_plots": [], "calibration_legend": ""}
    plots = [figures.calibration_plot(task, one) for task, one in measurements.compared.items()]
    return {
        "calibration_plots": [one for one in plots if one is not None],
        "calibration_legend": figures.calibration_legend(
            has_baseline=measurements.baseline is not None
        ),
    }


def _changes(data: ReportData) -> dict[str, Any]:
    """Alerts, all changes, and levels from span to span."""
    changes = data.changes.changes if data.changes else ()
    days = [one for one in changes if one.signal != "split_shift"]
    splits = [one for one in changes if one.signal == "split_shift"]
    plots = [figures.level_plot(one) for one in changes if one.alert or one.signal == "label_rate"]
    return {
        "changes_note": _sentence(data.changes.note) if data.changes and data.changes.note else "",
        "alerts": tables.change_rows([one for one in days if one.alert]),
        "all_changes": tables.change_rows(days),
        "days_before": days[0].since if days else "",
        "split_alerts": sum(one.alert for one in splits),
        "split_shifts": tables.change_rows(splits),
        "num_judged": num_judged(days),
        "level_plots": [one for one in plots if one is not None][:_MOST_LEVELS_DRAWN],
        "serving_alerts": tables.change_rows([one for one in data.serving_changes if one.alert]),
        "all_serving_changes": tables.change_rows(data.serving_changes),
    }


def _training(data: ReportData, tasks: list[str]) -> dict[str, Any]:
    training = data.training
    if training is None:
        return {}
    matrices = training.routing
    can_draw = sum(matrix.num_routes for matrix in matrices) <= _MOST_ROUTES_DRAWN
    units = {
        task.name: _LOSS_UNITS[task.kind]
        + (f" of {task.label.transform}" if task.label.transform != "none" else "")
        for task in data.config.tasks
    }
    return {
        "curves_legend": figures.curves_legend(),
        "curves": list(figures.learning_curves(training, units)),
        # Escapes its arguments; the only markup is its own.
        "routing": Markup(routing_figure(matrices, tasks)) if can_draw else None,  # noqa: S704
        "similarity": tables.similarity_rows(training, tasks),
        "open_routes": figures.open_routes(training),
        "open_routes_legend": figures.open_routes_legend(training),
        "costs": list(zip(training.cost, training.served_cost, strict=True)),
    }


def _lineage(data: ReportData) -> Iterator[tuple[str, str]]:
    """Facts that reproduce this model."""
    if data.spans:
        yield "Data", f"log of {data.spans['first_span']} to {data.spans['last_span']}"
    if data.rows:
        yield "Rows", ", ".join(f"{count:,} {split}" for split, count in data.rows.items())
    if data.model is not None:
        yield "Config digest", f"{data.model.config_digest}, of what decides the weights"
    if data.code_digest is not None:
        yield "Code digest", data.code_digest
    yield "Seed", str(data.config.training.seed)
    if data.measurements is not None and data.measurements.baseline is not None:
        baseline = data.measurements.baseline
        yield "Baseline", f"version {baseline.version}, {baseline.model_digest[:16]}"
    if data.pushed_version is not None:
        yield "Version", str(data.pushed_version)
    yield from data.versions.items()
