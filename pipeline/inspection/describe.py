"""`taskroute describe`: costs and routes of the last run's model."""

import os
from pathlib import Path

from rich.console import Console
from rich.table import Table

from taskroute.components.report.routing_figure import routing_figure
from taskroute.pipeline.run.paths import RunPaths
from taskroute.pipeline.run.quiet import quiet
from taskroute.schemas.errors import ConfigError, UserError
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.run_record import RunRecord
from taskroute.schemas.training_record import CalibrationFit, TrainingRecord


def read_training(paths: RunPaths) -> TrainingRecord:
    """Reads the record of the last run's training.

    Raises:
        ConfigError: If there was no run, or it did not come as far as training.
    """
    if not paths.last_run.is_file():
        raise ConfigError(f"{paths.root}: holds no run; call `taskroute run` first")
    record = RunRecord.find(paths.root)
    if record is None or record.training is None or not Path(record.training).is_file():
        raise ConfigError(f"{paths.last_run}: the last run did not train; see its `error`")
    return TrainingRecord.read(Path(record.training).parent)


def print_description(training: TrainingRecord) -> None:
    """Prints parameters and MACs by part, trained and served, then each routing matrix."""
    console = Console(highlight=False)
    table = _table("part", "parameters", "MACs a row", "served parameters", "served MACs")
    for trained, served in zip(training.cost, training.served_cost, strict=True):
        costs = (trained.parameters, trained.macs, served.parameters, served.macs)
        table.add_row(trained.part, *(f"{cost:,}" for cost in costs))
    console.print(table)
    for line in _served_lines(training):
        console.print(line, soft_wrap=True)
    for matrix in training.routing:
        console.print(f"\n{matrix.name}: {matrix.num_open} of {matrix.num_routes} routes open")
        table = _table("", *matrix.lower)
        for upper, values in zip(matrix.upper, matrix.values, strict=True):
            table.add_row(upper, *(f"{value:.2f}" if value > 0 else "." for value in values))
        console.print(table)
    if training.guarded_tasks:
        names = ", ".join(training.guarded_tasks)
        console.print(f"\nevery route closed, the strongest kept open by the guard: {names}")


def _served_lines(training: TrainingRecord) -> list[str]:
    """Effects of calibration and of fewer bits; an empty line before them, if there are any."""
    lines = [
        f"{task} is calibrated ({correction.method}): mean prediction over mean label "
        f"{_ratio(correction.before)} before, {_ratio(correction.after)} after, on validation"
        for task, correction in training.calibration.items()
    ]
    gaps = training.score_differences
    if gaps:
        task = max(gaps, key=lambda name: gaps[name].largest)
        saved = training.saved_bytes
        line = (
            f"served scores differ from the trained model's by {gaps[task].largest:.1e} at most "
            f"and {gaps[task].mean:.1e} in the mean ({task})"
        )
        lines.append(line + (f"; int8 tables save {saved / 1e6:.1f} MB" if saved else ""))
    return ["", *lines] if lines else []


def _ratio(fit: CalibrationFit) -> str:
    return "undefined" if fit.calibration is None else f"{fit.calibration:.3f}"


def signature_table(config: RecommenderConfig) -> str:
    """Inputs and outputs of a served model of `config`, as Markdown."""
    with quiet(Path(os.devnull), verbose=False):
        from taskroute.models.signature_table import signature_table as table

        return table(config, config.serving)


def draw_routes(training: TrainingRecord, path: Path) -> None:
    """Draws the routes as an SVG file.

    Raises:
        UserError: If the file cannot be written.
    """
    matrices = training.routing
    try:
        path.write_text(routing_figure(matrices, matrices[-1].upper), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: the figure cannot be written: {error.strerror}") from None


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, header in enumerate(headers):
        table.add_column(header, justify="right" if index else "left")
    return table
