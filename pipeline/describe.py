"""`taskroute describe`: what the last run's model costs, and which routes it uses."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from taskroute.components.run_report.routing_figure import routing_figure
from taskroute.pipeline.paths import RunPaths
from taskroute.schemas.errors import ConfigError, UserError


def read_training(paths: RunPaths) -> dict[str, Any]:
    """What the Trainer of the last run wrote of its model.

    Raises:
        ConfigError: If there was no run, or it did not come as far as training.
    """
    if not paths.last_run.is_file():
        raise ConfigError(f"{paths.root}: holds no run; call `taskroute run` first")
    training = json.loads(paths.last_run.read_text(encoding="utf-8")).get("training")
    if training is None or not Path(training).is_file():
        raise ConfigError(f"{paths.last_run}: the last run did not train; see its `error`")
    content: dict[str, Any] = json.loads(Path(training).read_text(encoding="utf-8"))
    return content


def print_description(training: dict[str, Any]) -> None:
    """Prints parameters and MACs by part, trained and served, then each routing matrix."""
    console = Console(highlight=False)
    table = _table("part", "parameters", "MACs a row", "served parameters", "served MACs")
    for trained, served in zip(training["cost"], training["served_cost"], strict=True):
        costs = [part[key] for part in (trained, served) for key in ("parameters", "macs")]
        table.add_row(trained["part"], *(f"{cost:,}" for cost in costs))
    console.print(table)
    for matrix in training["routing"]:
        open_routes = sum(value > 0 for row in matrix["values"] for value in row)
        routes = len(matrix["upper"]) * len(matrix["lower"])
        console.print(f"\n{matrix['name']}: {open_routes} of {routes} routes open")
        table = _table("", *matrix["lower"])
        for upper, values in zip(matrix["upper"], matrix["values"], strict=True):
            table.add_row(upper, *(f"{value:.2f}" if value > 0 else "." for value in values))
        console.print(table)
    if training["guarded_tasks"]:
        names = ", ".join(training["guarded_tasks"])
        console.print(f"\nevery route closed, the strongest kept open by the guard: {names}")


def draw_routes(training: dict[str, Any], path: Path) -> None:
    """Draws the routes as an SVG file.

    Raises:
        UserError: If the file cannot be written.
    """
    matrices = training["routing"]
    try:
        path.write_text(routing_figure(matrices, matrices[-1]["upper"]), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: the figure cannot be written: {error.strerror}") from None


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, header in enumerate(headers):
        table.add_column(header, justify="right" if index else "left")
    return table
