"""Panels of lines with error bars, as an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, MARGIN, LEGEND_HEIGHT = 300, 210, 48, 44
# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = (
    "#000000",
    "#999999",
    "#0072B2",
    "#56B4E9",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
)

Point = tuple[float, float, float]  # place on the x axis, value, half the error bar


@dataclass(frozen=True)
class Panel:
    title: str
    ticks: Sequence[str]
    lines: dict[str, list[Point]]


def draw(panels: Sequence[Panel], x_label: str, y_label: str) -> str:
    """Panels two a row, each with its own scale; all have the same lines."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    colours = dict(zip(names, COLOURS, strict=False))
    width = 2 * (WIDTH + MARGIN)
    height = -(-len(panels) // 2) * (HEIGHT + MARGIN) + LEGEND_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for index, name in enumerate(names):
        x, y = 12 + index % 4 * (width - 12) / 4, 16 + index // 4 * 16
        parts.append(_line(x, y - 4, x + 18, y - 4, colours[name], 2))
        parts.append(_text(x + 24, y, name))
    for index, panel in enumerate(panels):
        left = MARGIN + index % 2 * (WIDTH + MARGIN)
        top = LEGEND_HEIGHT + index // 2 * (HEIGHT + MARGIN) + 16
        parts += _panel(panel, left, top, colours, x_label, y_label)
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    panel: Panel, left: float, top: float, colours: dict[str, str], x_label: str, y_label: str
) -> list[str]:
    plot_width, plot_height = WIDTH - 12, HEIGHT - 36
    ends = [
        value + sign * error
        for points in panel.lines.values()
        for _, value, error in points
        for sign in (-1, 1)
    ]
    low, high = min([*ends, 0.9]), max([*ends, 1.1])
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5) if (high - low) / step <= 7)

    def x_of(place: float) -> float:
        return left + (place + 0.3) / (len(panel.ticks) - 0.4) * plot_width

    def y_of(value: float) -> float:
        return top + (high - value) / (high - low) * plot_height

    parts = [_text(left + plot_width / 2, top - 6, panel.title, "middle", bold=True)]
    for tick in range(int(low / step), int(high / step) + 1):
        value = tick * step
        if low <= value <= high:
            colour = "#888888" if abs(value - 1) < 1e-9 else "#e4e4e4"
            parts.append(_line(left, y_of(value), left + plot_width, y_of(value), colour, 1))
            parts.append(_text(left - 4, y_of(value) + 4, f"{value:g}", "end"))
    for place, label in enumerate(panel.ticks):
        parts.append(_text(x_of(place), top + plot_height + 14, label, "middle"))
    parts.append(_text(left + plot_width / 2, top + plot_height + 28, x_label, "middle"))
    x, y = left - 34, top + plot_height / 2
    turned = f' transform="rotate(-90 {x} {y})"'
    parts.append(_text(x, y, y_label, "middle", extra=turned))
    for index, (name, points) in enumerate(panel.lines.items()):
        # Set apart a little, so that bars do not hide each other.
        shift = (index - len(panel.lines) / 2) * 0.04
        places = [(x_of(place + shift), value, error) for place, value, error in points]
        path = " ".join(f"{x:.1f},{y_of(value):.1f}" for x, value, _ in places)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colours[name]}" stroke-width="1.6"/>'
        )
        for x, value, error in places:
            ends_of_bar = (x, y_of(value - error), x, y_of(value + error))
            parts.append(_line(*ends_of_bar, colours[name], 1))
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    places = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {places} stroke="{colour}" stroke-width="{width}"/>'


def _text(
    x: float, y: float, text: str, anchor: str = "start", *, bold: bool = False, extra: str = ""
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}{weight}{extra}>{escape(text)}</text>"
