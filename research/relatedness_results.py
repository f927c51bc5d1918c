"""Records of the task relatedness experiments, and their tables.

No TensorFlow here: the tables of a finished run take no time.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import line_plot
import numpy as np
from scipy import stats
from synthetic_tasks import TaskFamily

BASELINES = ("single_task", "shared_bottom")
LEARNING_RATES, DROPOUTS = (0.003, 0.01), (0.0, 0.2)


@dataclass(frozen=True)
class Setting:
    """A column of the map: everything but the relatedness and the trunk.

    `parameters` counts trunk and towers; every trunk gets the widths that come nearest to it.
    """

    name: str
    num_tasks: int = 8
    num_groups: int = 4
    num_rows: int = 2_000
    layers: int = 2
    parameters: int = 12_000
    relatedness: tuple[float, ...] = (0.0, 0.5, 0.9, 1.0)
    learning_rates: tuple[float, ...] = LEARNING_RATES
    dropouts: tuple[float, ...] = DROPOUTS

    def family(self, relatedness: float) -> TaskFamily:
        return TaskFamily(self.num_tasks, self.num_groups, relatedness)


class Results:
    """JSON lines, one a finished cell, read again by its `key`."""

    def __init__(self, path: Path):
        self.path = path
        self.records: dict[str, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                record = json.loads(line)
                self.records[record["key"]] = record

    def add(self, key: str, record: dict[str, Any]) -> dict[str, Any]:
        record = {"key": key, **record}
        self.records[key] = record
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        return record


def pair_similarities(used: np.ndarray) -> tuple[float, float]:
    """Mean cosine of two tasks' routes, within pairs of neighbours and across them."""
    norms = np.linalg.norm(used, axis=1)
    cosines = used @ used.T / np.outer(norms, norms)
    pair = np.arange(len(used)) // 2
    within = (pair[:, None] == pair) & ~np.eye(len(used), dtype=bool)
    return float(cosines[within].mean()), float(cosines[pair[:, None] != pair].mean())


def mean_and_error(values: Sequence[float]) -> str:
    """Mean and standard error, as in `.193 ± .041`."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{_short(float(np.mean(values)))} ± {_short(error)}"


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _difference(errors: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Mean paired difference and its standard error."""
    differences = np.subtract(errors, others)
    return float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))


def _cells(results: Results, setting: Setting) -> dict[str, dict[float, dict[str, Any]]]:
    """Finished records by trunk, the baselines first, and relatedness."""
    cells: dict[str, dict[float, dict[str, Any]]] = {name: {} for name in BASELINES}
    for record in results.records.values():
        if record.get("setting", {}).get("name") == setting.name:
            cells.setdefault(record["trunk"], {})[record["relatedness"]] = record
    return {name: by_p for name, by_p in cells.items() if by_p}


def verdict(errors: Sequence[float], baselines: Sequence[Sequence[float]]) -> str:
    """+ below every baseline by two standard errors, - above one by as much, else nothing."""
    pairs = [_difference(errors, other) for other in baselines]
    if all(mean < -2 * error for mean, error in pairs):
        return " **+**"
    return " **-**" if any(mean > 2 * error for mean, error in pairs) else ""


def map_tables(results: Results, settings: Sequence[Setting]) -> Iterator[str]:
    """Markdown lines: errors, then paired differences from each baseline."""
    for setting in settings:
        cells = _cells(results, setting)
        columns = [p for p in setting.relatedness if all(p in cells.get(b, {}) for b in BASELINES)]
        if not columns:
            continue
        yield f"\n**{setting.name}**\n"
        yield _row("trunk", "rate, dropout", *(f"p = {p:g}" for p in columns), "open routes")
        yield "|---" * (len(columns) + 3) + "|"
        for name, by_p in cells.items():
            values = []
            for p in columns:
                if p not in by_p:
                    values.append("")
                    continue
                baselines = [cells[baseline][p]["errors"] for baseline in BASELINES]
                errors = by_p[p]["errors"]
                mark = "" if name in BASELINES else verdict(errors, baselines)
                values.append(mean_and_error(errors) + mark)
            last = by_p[max(by_p)]
            routes = " / ".join(f"{share:.2f}" for share in last["open"])
            chosen = f"{last['learning_rate']:g}, {last['dropout']:g}"
            yield _row(name, chosen, *values, routes)
        yield ""
        yield _row("difference from single_task; shared_bottom", *(f"p = {p:g}" for p in columns))
        yield "|---" * (len(columns) + 1) + "|"
        for name, by_p in cells.items():
            if name not in BASELINES:
                values = [
                    "; ".join(
                        _signed(*_difference(by_p[p]["errors"], cells[baseline][p]["errors"]))
                        for baseline in BASELINES
                    )
                    for p in columns
                    if p in by_p
                ]
                yield _row(name, *values)


def gate_table(results: Results, settings: Sequence[Setting]) -> Iterator[str]:
    """Errors of a trunk's variations, and their paired differences from its defaults."""
    cells = [_cells(results, setting) for setting in settings]
    yield _row("constants", *(setting.name for setting in settings))
    yield "|---" * (len(cells) + 1) + "|"
    for name in dict.fromkeys(name for by_name in cells for name in by_name):
        default = name.split()[0]
        values = []
        for by_name in cells:
            if name not in by_name or default not in by_name:
                values.append("")
                continue
            errors, defaults = (
                next(iter(by_name[each].values()))["errors"] for each in (name, default)
            )
            text = mean_and_error(errors)
            if name != default:
                text = f"{_short(np.mean(errors))} ({_signed(*_difference(errors, defaults))})"
            values.append(text)
        yield _row(name, *values)


def route_table(results: Results) -> Iterator[str]:
    yield _row("trunk", "p", "within pairs", "across", "difference", "t-test", "used", "error")
    yield "|---" * 8 + "|"
    for key, record in results.records.items():
        if key.startswith("routes | "):
            difference = _difference(record["within"], record["across"])
            probability = stats.ttest_rel(record["within"], record["across"]).pvalue
            yield _row(
                record["trunk"],
                f"{record['relatedness']:g}",
                f"{np.mean(record['within']):.2f}",
                f"{np.mean(record['across']):.2f}",
                _signed(*difference),
                f"{probability:.1g}",
                f"{np.mean(record['open']):.2f}",
                _short(np.mean(record["errors"])),
            )


def _signed(mean: float, error: float) -> str:
    sign = "-" if mean < 0 else "+"
    return f"{sign}{_short(abs(mean))} ± {_short(error)}"


def _row(*values: str) -> str:
    return "| " + " | ".join(values) + " |"


def map_plot(results: Results, settings: Sequence[Setting]) -> str:
    """SVG: each trunk's error as a share of single_task's, by relatedness; bars are one s.e."""
    panels = []
    for setting in settings:
        cells = _cells(results, setting)
        lines: dict[str, list[line_plot.Point]] = {}
        for name, by_p in cells.items():
            points: list[line_plot.Point] = []
            for index, p in enumerate(setting.relatedness):
                if p in by_p and p in cells.get("single_task", {}):
                    base = cells["single_task"][p]["errors"]
                    mean, error = _difference(by_p[p]["errors"], base)
                    points.append((index, 1 + mean / np.mean(base), error / np.mean(base)))
            lines[name] = points
        ticks = [f"{p:g}" for p in setting.relatedness]
        panels.append(line_plot.Panel(setting.name, ticks, lines))
    return line_plot.draw(panels, "relatedness p", "error / error of single_task")
