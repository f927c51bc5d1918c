"""Lines and tables of a run on the terminal."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from taskroute.pipeline.run.paths import RunPaths
from taskroute.pipeline.run.verdict_table import verdict_lines
from taskroute.schemas.errors import SERVING_CHECK_FAILED
from taskroute.schemas.evaluation import KNOWN, NEW, TERMS_OF
from taskroute.schemas.evaluation_record import TaskMetrics, Verdict
from taskroute.schemas.log_splits import split_lines
from taskroute.schemas.run_record import RunRecord, Stage


def print_stage(console: Console, record: RunRecord, seconds: float) -> None:
    """Prints the line of the last stage, with its unrounded time, and its alerts or notes."""
    stage = record.stages[-1]
    console.print(_stage_line(stage, seconds))
    match stage.name:
        case "LogExampleGen":
            _print_data(console, record)
        case "DayMonitor":
            for alert in record.alerts:
                sentence = escape(alert.sentence)
                console.print(f"    [yellow]alert[/yellow] {sentence}", soft_wrap=True)
        case "Trainer" if record.warm_start is not None:
            console.print(f"    {record.warm_start.sentence}", soft_wrap=True)


def print_failure(console: Console, record: RunRecord) -> None:
    """Prints the line of the stage that failed."""
    stage = record.failed_stage or "preparation"
    log = _short(record.log or "")
    console.print(f"  {stage:<17}[red]  failed[/red]; log in {log}", soft_wrap=True)


def print_outcome(
    console: Console,
    record: RunRecord,
    paths: RunPaths,
    best_aucs: Mapping[str, float],
    seconds: float,
) -> None:
    """Prints the table of tasks, the verdict, and the paths of model, figures and report.

    Args:
        console: The terminal.
        record: The record of a run whose stages have ended.
        paths: Paths of the run.
        best_aucs: Highest AUC that any model can reach, by task, where it is known.
        seconds: Time of the run.
    """
    verdict = record.verdict or Verdict(blessed=False, summary="", gates=())
    console.print()
    for finding in record.findings:
        console.print(f"[yellow]look at[/yellow] {escape(finding.sentence)}", soft_wrap=True)
    if record.findings:
        console.print()
    console.print(_task_table(record.metrics, best_aucs))
    for line in _terms_lines(record):
        console.print(line, soft_wrap=True)
    console.print()
    for line in verdict_lines(verdict.gates):
        console.print(line, soft_wrap=True)
    if verdict.gates:
        console.print()
    if record.exit_code == SERVING_CHECK_FAILED and record.serving_check is not None:
        line = f"[red]DOES NOT SERVE, not pushed[/red]: {record.serving_check.summary}"
    elif not verdict.blessed:
        line = f"[red]NOT BLESSED, not pushed[/red]: {verdict.summary}"
    else:
        line = (
            f"[green]BLESSED[/green] ({verdict.summary}): version {record.pushed_version} is "
            f"served from {_short(paths.serving)}"
        )
    console.print(line, soft_wrap=True)
    console.print(
        f"{seconds:.0f} s; figures in {_short(paths.last_run)}, log in {_short(record.log or '')}",
        soft_wrap=True,
    )
    if record.report is not None:
        console.print(f"report for a browser: {_short(record.report)}", soft_wrap=True)


def _stage_line(stage: Stage, seconds: float) -> str:
    line = f"  {stage.name:<17}"
    if stage.cached:
        return f"{line}[dim]{'reused':>8}[/dim]"
    line += f"{seconds:>7.1f}s"
    if stage.rows:
        line += f"{stage.rows:>12,} rows{stage.rows / max(seconds, 1e-3):>12,.0f} rows/s"
    return line


def _print_data(console: Console, record: RunRecord) -> None:
    if record.spans:
        line = f"    log of {record.spans['first_span']} to {record.spans['last_span']}"
        if record.spans["missing_spans"]:
            line += f", [yellow]without rows: {record.spans['missing_spans']}[/yellow]"
        console.print(line, soft_wrap=True)
    if record.splits is not None:
        for line in split_lines(record.splits):
            console.print(f"    {line}", soft_wrap=True)
    left_out = record.bad_rows
    if left_out.rows:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.reasons.items())
        console.print(
            f"    [yellow]{left_out.rows:,} rows left out[/yellow] ({reasons}), kept in "
            f"{_short(left_out.folder or '')}",
            soft_wrap=True,
        )


def _task_table(metrics: Mapping[str, TaskMetrics], best_aucs: Mapping[str, float]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("task")
    has_gauc = any(task.values.get("gauc") is not None for task in metrics.values())
    optional = [*(["best"] if best_aucs else []), *(["GAUC"] if has_gauc else [])]
    for header in ("rows", "rate", "AUC", *optional, "calibration", "MAE"):
        table.add_column(header, justify="right")
    for name, task in metrics.items():
        values = task.values
        rate = values.get("actual_rate")
        cells = [
            name,
            f"{task.num_examples:,}",
            "" if rate is None else f"{rate:.1%}",
            _number(values.get("auc"), 4),
        ]
        if best_aucs:
            cells.append(_number(best_aucs.get(name), 4))
        if has_gauc:
            cells.append(_number(values.get("gauc"), 4))
        cells.append(_number(values.get("calibration"), 3))
        table.add_row(*cells, _number(values.get("mae"), 2))
    return table


def _terms_lines(record: RunRecord) -> list[str]:
    """Lines of the columns with new terms: rows and metric of the first task by kind of term."""
    slices = {(one.column, one.value): one.tasks for one in record.slices}
    lines = []
    for column in dict.fromkeys(column for column, _ in slices if column.startswith(TERMS_OF)):
        parts = []
        for kind in (NEW, KNOWN):
            for name, task in list(slices.get((column, kind), {}).items())[:1]:
                metric, digits = ("auc", 4) if task.kind == "binary" else ("mae", 2)
                value = _number(task.values.get(metric), digits) or "unknown"
                parts.append(f"{kind} {task.num_examples:,} rows, {name} {metric.upper()} {value}")
        lines.append(f"{escape(column.removeprefix(TERMS_OF))}: {'; '.join(parts)}")
    return lines


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _short(path: str | Path) -> str:
    """Path relative to the working folder, where it lies below."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)
