"""Plots of the page, each with its axes and a description in words."""

import math
from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from taskroute.components.report.plot import Axis, Series, legend, number, plot
from taskroute.schemas.change_record import JudgedChange
from taskroute.schemas.evaluation_record import MeasuredTask, TaskMetrics
from taskroute.schemas.training_record import TrainingRecord

# Units of the signals that have a level.
_LEVEL_UNITS = {
    "missing": "share of rows",
    "oov": "share of terms",
    "label_delay": "share of rows",
    "label_rate": "mean label",
    "prediction_mean": "mean prediction",
    "calibration": "predicted \N{DIVISION SIGN} actual",
}

CANDIDATE, BASELINE = 0, 1
_ROLES = ("candidate", "baseline")
_CURVES = ("train", "validation")


def calibration_legend(*, has_baseline: bool) -> Markup:
    """Legend of `calibration_plot`."""
    roles = _ROLES if has_baseline else _ROLES[:1]
    return legend(roles, joined=False, extra="prediction as often right as it says")


def calibration_plot(task: str, measured: MeasuredTask) -> Markup | None:
    """Plots the share of label 1 over the prediction of a binary task.

    None without rows, and for a regression task.
    """
    series = [
        _reliability(role, place, metrics)
        for place, (role, metrics) in enumerate(
            zip(_ROLES, (measured.candidate, measured.baseline), strict=True)
        )
        if metrics is not None and metrics.reliability
    ]
    if not series:
        return None
    values = [0.0]
    for one in series:
        values += [value for point in one.points for value in point]
        values += [interval[1] for interval in one.intervals if interval is not None]
    bins = measured.candidate.reliability
    gap = max(bins, key=lambda one: abs(one.predicted - one.actual), default=None)
    words = "no bin"
    if gap is not None:
        words = (
            f"{len(bins)} bins; the widest gap is at a prediction of {number(gap.predicted)}, "
            f"where {number(gap.actual)} came true"
        )
    top = max(values)
    return plot(
        task,
        words,
        series,
        Axis(
            "mean prediction (probability)",
            (0, max(point[0] for s in series for point in s.points)),
        ),
        Axis("share of rows with label 1", (0, top)),
        diagonal=True,
    )


def _reliability(role: str, place: int, metrics: TaskMetrics) -> Series:
    bins = metrics.reliability
    return Series(
        role,
        place,
        [(one.predicted, one.actual) for one in bins],
        [None if one.low is None or one.high is None else (one.low, one.high) for one in bins],
        joined=False,
    )


def curves_legend() -> Markup:
    """Legend of `learning_curves`."""
    return legend(_CURVES)


def learning_curves(training: TrainingRecord, tasks: Mapping[str, str]) -> Iterator[Markup]:
    """Plots the loss of all tasks, then of each, on train and validation rows after each epoch.

    Args:
        training: The Trainer's record.
        tasks: Unit of the loss, by task.
    """
    history = training.history
    curve_keys = {"all tasks": ("loss", "weighted sum of losses")}
    curve_keys |= {task: (f"{task}_loss", unit) for task, unit in tasks.items()}
    for title, (key, unit) in curve_keys.items():
        curves = [history.get(name, ()) for name in (key, f"val_{key}")]
        series = [
            Series(name, place, points)
            for place, (name, curve) in enumerate(zip(_CURVES, curves, strict=True))
            if (points := [one for one in enumerate(curve, start=1) if math.isfinite(one[1])])
        ]
        if series:
            best = training.best_epoch
            validation = dict(series[-1].points)
            first, last = validation[min(validation)], validation[max(validation)]
            words = (
                f"validation loss from {number(first)} to {number(validation.get(best, last))} in "
                f"epoch {best}, the best"
            )
            yield plot(
                title,
                words,
                series,
                _epochs(series),
                Axis(f"loss ({unit})", _all_y(series)),
                mark=(best, "kept"),
            )


def level_plot(change: JudgedChange) -> Markup | None:
    """Plots a share or ratio from span to span; None for a single span."""
    levels = list(change.levels.values())
    if len(levels) < 2:
        return None
    title = f"{change.name}: {change.signal.replace('_', ' ')}"
    words = ", ".join(f"{change.level(value)} on {span}" for span, value in change.levels.items())
    return plot(
        title,
        words,
        [Series(title, 1 if change.alert else 0, list(enumerate(levels, start=1)))],
        Axis("span, oldest to newest", [1, len(levels)], whole=True),
        Axis(_LEVEL_UNITS[change.signal], (0, *levels)),
        mark=(len(levels), change.now) if change.now in change.levels else None,
    )


def open_routes(training: TrainingRecord) -> Markup | None:
    """Plots the open routes of each routing matrix by epoch; None where no trunk counts them."""
    series = [
        Series(name.partition("/")[2], place, list(enumerate(training.history[name], start=1)))
        for place, name in enumerate(_route_counts(training))
    ]
    if not series:
        return None
    words = "; ".join(
        f"{one.name} from {one.points[0][1]:g} to {one.points[-1][1]:g}" for one in series
    )
    return plot(
        "open routes",
        words,
        series,
        _epochs(series),
        Axis("routes above 0 (number)", (0, *_all_y(series)), whole=True),
        mark=(training.best_epoch, "kept"),
    )


def open_routes_legend(training: TrainingRecord) -> Markup:
    """Legend of `open_routes`, with the number of routes of each matrix."""
    sizes = {matrix.name: matrix.num_routes for matrix in training.routing}
    names = [name.partition("/")[2] for name in _route_counts(training)]
    return legend(f"{name} (of {sizes[name]})" if name in sizes else name for name in names)


def _route_counts(training: TrainingRecord) -> list[str]:
    return [name for name in training.history if name.startswith("open_routes/")]


def _epochs(series: Sequence[Series]) -> Axis:
    return Axis("epoch", [x for one in series for x, _ in one.points], whole=True)


def _all_y(series: Sequence[Series]) -> list[float]:
    return [y for one in series for _, y in one.points]
