"""Graph of a trunk's routes: the sub-networks that each task uses, layer by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from taskroute.schemas.training_record import RoutingTable

# Colour-blind safe (Okabe and Ito, 2008), of enough contrast on white and on near black.
_TASK_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56a4d9", "#8a6fd1")
_NODE_HEIGHT, _GAP, _COLUMN_GAP, _MARGIN = 40, 18, 94, 16
# Width of a box: enough for its column's longest name, by the largest average width of a letter.
_LEAST_WIDTH, _LETTER_WIDTH, _MOST_LETTERS = 96, 8, 28
_DOT, _DOT_STEP = 4, 12
_MAX_STROKE = 5.0
_STYLE = """
svg.routes { font: 13px system-ui, sans-serif; max-width: 100%; height: auto;
  --ink: #1b1f24; --paper: #ffffff; --line: #57606a; --closed: #d5dae0; }
@media (prefers-color-scheme: dark) { svg.routes {
  --ink: #e6edf3; --paper: #0d1117; --line: #9aa4af; --closed: #30363d; } }
svg.routes text { fill: var(--ink); }
svg.routes .node { fill: var(--paper); stroke: var(--line); stroke-width: 1.5; }
svg.routes .unused .node { stroke: var(--closed); stroke-dasharray: 4 3; }
svg.routes .unused text { opacity: 0.7; }
svg.routes .open { fill: none; stroke: var(--line); }
svg.routes .closed { fill: none; stroke: var(--closed); stroke-width: 1; }
"""

_Part = tuple[int, str]  # column, from 0 at the bottom, and name


@dataclass(frozen=True)
class _Node:
    name: str
    x: float
    y: float
    width: float


def routing_figure(matrices: Sequence[RoutingTable], tasks: Sequence[str]) -> str:
    """Draws routing matrices as one SVG: columns of sub-networks, bottom layer left, tasks right.

    A line is as wide as its route is open, and pale where it is closed. A sub-network carries a dot
    in the colour of each task that it reaches, and is dashed where it reaches none.

    Args:
        matrices: Routing matrices, bottom up. An upper part is a task or a lower part of the next.
        tasks: Names of the tasks.

    Returns:
        An SVG element, for a file of its own or within a page; it follows the reader's light or
        dark scheme.
    """
    columns = [tuple(matrix.lower) for matrix in matrices] + [tuple(tasks)]
    nodes = _place(columns)
    used = _tasks_by_part(matrices, columns)
    width = max(node.x + node.width for node in nodes.values()) + _MARGIN
    height = max(node.y for node in nodes.values()) + _NODE_HEIGHT + _MARGIN
    parts = [
        f'<svg class="routes" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} '
        f'{height:g}" width="{width:g}" height="{height:g}" role="img">',
        f"<title>{escape(_in_words(used, columns))}</title>",
        f"<style>{_STYLE}</style>",
        *_edges(matrices, columns, nodes),
        *(_node(node, used[part], tasks) for part, node in nodes.items()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _tasks_by_part(
    matrices: Sequence[RoutingTable], columns: Sequence[Sequence[str]]
) -> dict[_Part, tuple[str, ...]]:
    """Tasks that each part reaches through open routes, in their order."""
    tasks = columns[-1]
    used: dict[_Part, set[str]] = {(len(matrices), task): {task} for task in tasks}
    for place in reversed(range(len(matrices))):
        above = _column_above(matrices, columns, place)
        for index, lower in enumerate(columns[place]):
            used[place, lower] = set()
            for upper, values in zip(matrices[place].upper, matrices[place].values, strict=True):
                if values[index] > 0:
                    used[place, lower] |= used[above, upper]
    return {part: tuple(task for task in tasks if task in by) for part, by in used.items()}


def _column_above(
    matrices: Sequence[RoutingTable], columns: Sequence[Sequence[str]], place: int
) -> int:
    """Column of a matrix's upper parts: the next one, or the tasks."""
    return place + 1 if set(matrices[place].upper) <= set(columns[place + 1]) else len(matrices)


def _place(columns: Sequence[Sequence[str]]) -> dict[_Part, _Node]:
    """Places columns with equal gaps, each centred."""
    most = max(map(len, columns))
    step = _NODE_HEIGHT + _GAP
    nodes = {}
    left = float(_MARGIN)
    for place, column in enumerate(columns):
        top = _MARGIN + (most - len(column)) * step / 2
        letters = max(len(_short(name)) for name in column)
        width = max(_LEAST_WIDTH, _LETTER_WIDTH * (letters + 2))
        for row, name in enumerate(column):
            nodes[place, name] = _Node(name, left, top + row * step, width)
        left += width + _COLUMN_GAP
    return nodes


def _edges(
    matrices: Sequence[RoutingTable],
    columns: Sequence[Sequence[str]],
    nodes: Mapping[_Part, _Node],
) -> list[str]:
    """Routes as paths, closed ones first, so that open ones lie above them."""
    closed, opened = [], []
    for place, matrix in enumerate(matrices):
        above = _column_above(matrices, columns, place)
        for upper, values in zip(matrix.upper, matrix.values, strict=True):
            for lower, value in zip(matrix.lower, values, strict=True):
                path = _path(nodes[place, lower], nodes[above, upper])
                if value > 0:
                    stroke = max(1.0, _MAX_STROKE * min(value, 1.0))
                    title = f"<title>{escape(lower)} to {escape(upper)}: {value:.2f}</title>"
                    opened.append(
                        f'<path class="open" stroke-width="{stroke:.1f}" d="{path}">{title}</path>'
                    )
                else:
                    closed.append(f'<path class="closed" d="{path}"/>')
    return closed + opened


def _path(lower: _Node, upper: _Node) -> str:
    start, end = lower.x + lower.width, upper.x
    y1, y2 = lower.y + _NODE_HEIGHT / 2, upper.y + _NODE_HEIGHT / 2
    middle = (start + end) / 2
    return f"M{start:g} {y1:g}C{middle:g} {y1:g} {middle:g} {y2:g} {end:g} {y2:g}"


def _node(node: _Node, used_by: Sequence[str], tasks: Sequence[str]) -> str:
    center = node.x + node.width / 2
    dots = "".join(
        f'<circle cx="{center + (place - (len(used_by) - 1) / 2) * _DOT_STEP:g}" '
        f'cy="{node.y + _NODE_HEIGHT - 10:g}" r="{_DOT}" '
        f'fill="{_TASK_COLORS[tasks.index(task) % len(_TASK_COLORS)]}">'
        f"<title>{escape(task)}</title></circle>"
        for place, task in enumerate(used_by)
    )
    return (
        f'<g class="{"used" if used_by else "unused"}">'
        f'<rect class="node" x="{node.x:g}" y="{node.y:g}" width="{node.width:g}" '
        f'height="{_NODE_HEIGHT}" rx="7"/>'
        f'<text x="{center:g}" y="{node.y + 17:g}" text-anchor="middle">{escape(_short(node.name))}'
        f"</text>{dots}</g>"
    )


def _short(name: str) -> str:
    return name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"


def _in_words(used: Mapping[_Part, Sequence[str]], columns: Sequence[Sequence[str]]) -> str:
    """Figure in words, for readers who cannot see it."""
    parts = [(place, name) for place, names in enumerate(columns[:-1]) for name in names]
    sentences = []
    for task in columns[-1]:
        names = [name for place, name in parts if task in used[place, name]]
        sentences.append(f"{task} uses {', '.join(names) or 'nothing'}")
    return "; ".join(sentences)
