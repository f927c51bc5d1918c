"""Comparison as one SVG file: a panel a task and metric, a line a trunk, a dot a seed."""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import groupby

from markupsafe import Markup, escape

from taskroute.components.report.plot import NUM_SERIES, Axis
from taskroute.pipeline.experiments.compare.summary import LABELS, Comparison, Measured
from taskroute.pipeline.experiments.differences import reach_of_mean
from taskroute.schemas.evaluation import BETTER

_WIDTH, _NAMES, _RIGHT, _ROW, _TITLE, _FOOT = 560, 112, 20, 24, 34, 44
_HEAD = 40


def draw(comparison: Comparison) -> str:
    """Means, intervals and every seed; colours follow the reader's light or dark scheme."""
    panels: list[Markup] = []
    top = _HEAD
    for (task, metric), rows in groupby(comparison.measured, lambda row: (row.task, row.metric)):
        task_rows = list(rows)
        if any(row.mean is not None for row in task_rows):
            panels += _panel(task, metric, task_rows, top, comparison.confidence)
            top += _TITLE + _ROW * len(task_rows) + _FOOT
    legend = f"bar and large dot: mean with its {comparison.confidence:.0%} interval over seeds"
    parts = [
        Markup(
            '<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" '
            'role="img" aria-label="{}">'
        ).format(_WIDTH, top, "; ".join(comparison.findings) or comparison.name),
        Markup("<style>{}svg.plot {{ max-width: 900px }}</style>").format(
            files("taskroute.components.report").joinpath("page.css").read_text("utf-8")
        ),
        Markup('<rect width="{}" height="{}" style="fill: var(--paper)"/>').format(_WIDTH, top),
        _text(8, 16, f"{comparison.name}: trunks compared ({comparison.match})", kind="title"),
        _text(8, 32, f"{legend}; small dots: one seed each"),
        *panels,
        Markup("</svg>\n"),
    ]
    return str(Markup("\n").join(parts))


def _panel(
    task: str, metric: str, rows: Sequence[Measured], top: float, confidence: float
) -> Iterator[Markup]:
    intervals = [_interval(row, confidence) for row in rows]
    seeds = [[x for x in row.by_seed.values() if x is not None] for row in rows]
    ends = [end for interval in intervals if interval for end in interval]
    values = [*ends, *(value for points in seeds for value in points)]
    better = "more" if BETTER[metric] > 0 else "less"
    unit = "the label's unit; " if metric == "mae" else ""
    axis = Axis(f"{LABELS[metric]} on the test split ({unit}{better} is better)", values)
    ticks = axis.ticks
    first, last = top + _TITLE, top + _TITLE + _ROW * len(rows)

    def x_of(value: float) -> float:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return _NAMES + share * (_WIDTH - _NAMES - _RIGHT)

    yield _text(_NAMES, top + 22, f"{task}: {LABELS[metric]}", kind="title")
    for tick in ticks:
        yield _line("grid", x_of(tick), first, x_of(tick), last)
        yield _text(x_of(tick), last + 14, f"{tick:g}", anchor="middle")
    yield _text((_NAMES + _WIDTH - _RIGHT) / 2, last + 30, axis.label, anchor="middle")
    for place, (row, interval, points) in enumerate(zip(rows, intervals, seeds, strict=True)):
        y = first + _ROW * (place + 0.5)
        yield _text(_NAMES - 8, y + 4, row.trunk, anchor="end")
        yield Markup('<g class="s{}">').format(place % NUM_SERIES)
        if interval is not None:
            yield _line("interval", x_of(interval[0]), y, x_of(interval[1]), y)
        for value in points:
            yield _dot(x_of(value), y + 6, 1.8)
        if row.mean is not None:
            yield _dot(x_of(row.mean), y, 4)
        yield Markup("</g>")


def _interval(row: Measured, confidence: float) -> tuple[float, float] | None:
    count = sum(value is not None for value in row.by_seed.values())
    if row.mean is None or row.std is None:
        return None
    reach = reach_of_mean(row.std, count, confidence)
    return row.mean - reach, row.mean + reach


def _dot(x: float, y: float, radius: float) -> Markup:
    return Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(x, y, radius)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
        kind, x1, y1, x2, y2
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        kind, x, y, anchor, escape(text)
    )
