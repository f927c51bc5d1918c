"""Table of the gate's verdict for the terminal."""

from collections.abc import Sequence

from taskroute.schemas.evaluation_record import GateVerdict

_HEADERS = (
    "metric",
    "slice",
    "candidate",
    "baseline",
    "difference",
    "interval",
    "rule",
    "verdict",
)
_RIGHT = {2, 3, 4}
_MARKS = {True: "[green]passed[/green]", False: "[red]failed[/red]", None: "[dim]not judged[/dim]"}


def verdict_lines(gates: Sequence[GateVerdict], most: int = 15) -> list[str]:
    """Header and a line for each rule, failed ones first, with rich's markup.

    Args:
        gates: Verdicts of single rules.
        most: Number of rules shown; a last line counts the others.
    """
    if not gates:
        return []
    order = {False: 0, True: 1, None: 2}
    ranked = sorted(gates, key=lambda gate: order[gate.passed])
    cells = [_HEADERS, *(_cells(gate) for gate in ranked[:most])]
    widths = [max(len(row[place]) for row in cells) for place in range(len(_HEADERS) - 1)]
    lines = []
    for index, row in enumerate(cells):
        texts = [
            text.rjust(width) if place in _RIGHT else text.ljust(width)
            for place, (text, width) in enumerate(zip(row[:-1], widths, strict=True))
            if width
        ]
        mark = row[-1] if index == 0 else _MARKS[ranked[index - 1].passed]
        text = "  ".join(texts).replace("[", r"\[") + f"  {mark}"
        lines.append(f"[bold]{text}[/bold]" if index == 0 else text)
    if len(ranked) > most:
        lines.append(f"and {len(ranked) - most} more in verdict.json")
    return lines


def _cells(gate: GateVerdict) -> tuple[str, ...]:
    interval = ""
    if gate.low is not None:
        # Interval of the difference where a rule judges it, else of the candidate's value.
        signed = "+" if gate.rule.startswith("may lose") else ""
        interval = f"{gate.low:{signed}.4f} to {gate.high:{signed}.4f}"
    return (
        f"{gate.task} {gate.metric}",
        gate.slice or "",
        _number(gate.value),
        _number(gate.baseline),
        "" if gate.difference is None else f"{gate.difference:+.4f}",
        interval,
        gate.rule,
        "",
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"
