"""Small plots as SVG: axes with units, one series a class of the page's style sheet.

Colours are the page's variables, so that a plot follows the reader's light or dark scheme; marks
and dashes tell series apart without them. The same data gives the same bytes.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 22, 14, 44
_TITLE = 20

# Number of colours in the style sheet.
NUM_SERIES = 7

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A line through points, or points alone.

    Attributes:
        name: Name in the legend.
        place: Index of the colour, dash and mark, from 0.
        points: (x, y), by ascending x where they are joined.
        intervals: (low, high) of y for each point; None for a point without one.
        joined: Whether a line goes through the points.
    """

    name: str
    place: int
    points: Sequence[Point]
    intervals: Sequence[tuple[float, float] | None] = ()
    joined: bool = True


@dataclass(frozen=True)
class Axis:
    """Axis with `label`, quantity and unit, and `values`, all of which must fit."""

    label: str
    values: Sequence[float]
    whole: bool = False

    @property
    def ticks(self) -> list[float]:
        """Round numbers, at most seven, that enclose the values."""
        low, high = min(self.values), max(self.values)
        if low == high:
            reach = abs(low) / 10 or 1.0
            low, high = low - (0 if self.whole else reach), high + reach
        step = _round_step((high - low) / 5)
        if self.whole:
            step = max(1.0, math.ceil(step))
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        return [index * step for index in range(first, last + 1)]


def plot(
    title: str,
    description: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    diagonal: bool = False,
    mark: tuple[float, str] | None = None,
) -> Markup:
    """Draws series over two axes.

    Args:
        title: Text above the plot.
        description: Content in words, for readers who cannot see it.
        series: Series, at most NUM_SERIES.
        x: Horizontal axis.
        y: Vertical axis.
        diagonal: Whether the line y = x is drawn.
        mark: Place of a dashed line on the x axis, and its name.
    """
    x_ticks, y_ticks = x.ticks, y.ticks

    def x_of(value: float) -> float:
        share = (value - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def y_of(value: float) -> float:
        share = (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    parts = [*_grid(x, y, [(x_of(v), v) for v in x_ticks], [(y_of(v), v) for v in y_ticks])]
    if diagonal:
        low, high = max(x_ticks[0], y_ticks[0]), min(x_ticks[-1], y_ticks[-1])
        parts.append(_line("ideal", x_of(low), y_of(low), x_of(high), y_of(high)))
    if mark is not None:
        at = x_of(mark[0])
        parts.append(_line("mark", at, _TOP, at, HEIGHT - _BOTTOM))
        parts.append(_text(at, _TOP - 4, mark[1], "middle"))
    for one in series:
        parts += _drawn(one, [(x_of(a), y_of(b)) for a, b in one.points], y_of)
    return Markup(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<text class="title" x="{}" y="12">{}</text>{}</svg>'
    ).format(WIDTH, HEIGHT + _TITLE, f"{title}: {description}", _LEFT, title, _shifted(parts))


def legend(names: Iterable[str], *, joined: bool = True, extra: str = "") -> Markup:
    """Lists series, each behind its line and mark, in the order of their places."""
    items = [
        Markup(
            '<li><svg class="swatch" viewBox="0 0 28 12" aria-hidden="true">{}</svg>{}</li>'
        ).format(_swatch(place, joined), name)
        for place, name in enumerate(names)
    ]
    if extra:
        dashes = _line("ideal", 2, 6, 26, 6)
        items.append(
            Markup(
                '<li><svg class="swatch" viewBox="0 0 28 12" aria-hidden="true">{}</svg>{}</li>'
            ).format(dashes, extra)
        )
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))


def number(value: float) -> str:
    """Formats a number with at most four digits and no unit: 0.7817, 12.34, 1,234."""
    if value == 0:
        return "0"
    if value < 0:
        return f"\N{MINUS SIGN}{number(-value)}"
    if value >= 1000:
        return f"{value:,.0f}"
    if value < 1e-4:
        return f"{value:.1e}"
    digits = max(0, 3 - math.floor(math.log10(value)))
    return f"{value:.{min(digits, 4)}f}"


def _round_step(least: float) -> float:
    """Smallest of 1, 2, 2.5 and 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= least * (1 - 1e-9))


def _grid(x: Axis, y: Axis, x_ticks: Sequence[Point], y_ticks: Sequence[Point]) -> Iterable[Markup]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    for at, value in y_ticks:
        yield _line("grid", _LEFT, at, right, at)
        yield _text(_LEFT - 6, at + 4, f"{value:g}" if abs(value) < 1e4 else f"{value:.0e}", "end")
    for at, value in x_ticks:
        yield _line("grid", at, bottom, at, bottom + 4)
        yield _text(at, bottom + 16, f"{value:g}", "middle")
    yield _text((_LEFT + right) / 2, HEIGHT - 8, x.label, "middle")
    middle = (_TOP + bottom) / 2
    yield Markup(
        '<text x="12" y="{:.1f}" text-anchor="middle" transform="rotate(-90 12 {:.1f})">{}</text>'
    ).format(middle, middle, y.label)


def _drawn(
    series: Series, places: Sequence[Point], y_of: Callable[[float], float]
) -> Iterable[Markup]:
    yield Markup('<g class="s{}">').format(series.place % NUM_SERIES)
    if series.joined and len(places) > 1:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield Markup('<polyline class="line" points="{}"/>').format(path)
    for place, (x, y) in enumerate(places):
        interval = series.intervals[place] if series.intervals else None
        if interval is not None:
            yield _line("interval", x, y_of(interval[0]), x, y_of(interval[1]))
        yield _mark(series.place, x, y)
    yield Markup("</g>")


def _swatch(place: int, joined: bool) -> Markup:
    line = Markup('<polyline class="line" points="2,6 26,6"/>') if joined else Markup("")
    return Markup('<g class="s{}">{}{}</g>').format(place % NUM_SERIES, line, _mark(place, 14, 6))


def _mark(place: int, x: float, y: float) -> Markup:
    """Circle, square, triangle or diamond, by place."""
    match place % 4:
        case 0:
            return Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(x, y)
        case 1:
            corners = [(-2.7, -2.7), (2.7, -2.7), (2.7, 2.7), (-2.7, 2.7)]
        case 2:
            corners = [(0, -3.6), (3.4, 2.6), (-3.4, 2.6)]
        case _:
            corners = [(0, -3.8), (3.8, 0), (0, 3.8), (-3.8, 0)]
    path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return Markup('<polygon class="dot" points="{}"/>').format(path)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
        kind, x1, y1, x2, y2
    )


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        x, y, anchor, escape(text)
    )


def _shifted(parts: Iterable[Markup]) -> Markup:
    """Moves parts below the title."""
    return Markup('<g transform="translate(0 {})">{}</g>').format(_TITLE, Markup("").join(parts))
