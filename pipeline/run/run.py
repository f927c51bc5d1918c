"""`taskroute run`: the whole pipeline on this machine, and what it came to."""

import json
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from taskroute.components.logs import log_files, spans
from taskroute.components.logs.bad_rows import REASONS
from taskroute.components.measures.day_records import DayChanges, num_judged, read_changes
from taskroute.components.measures.records import read_evaluation
from taskroute.components.served.check import read_report
from taskroute.pipeline.dag.digest import WHOLE_PRODUCT, code_digest
from taskroute.pipeline.run.alerts import alert_list, write_alerts
from taskroute.pipeline.run.lock import locked
from taskroute.pipeline.run.paths import RunPaths, absolute_source
from taskroute.pipeline.run.quiet import quiet
from taskroute.pipeline.run.report import package_versions, write_page
from taskroute.pipeline.run.verdict_table import verdict_lines
from taskroute.schemas.errors import NOT_BLESSED, SERVING_CHECK_FAILED, UserError
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.source import SPLITS, Source
from taskroute.schemas.warm_start import WARM_STARTED_FILE
from taskroute.schemas.whole_files import write_whole


@dataclass
class RunRecord:
    """What `last_run.json` holds, for scripts and the report page.

    `artifacts` are folders by `STAGE.OUTPUT`, relative to the pipeline root where they are in it.
    """

    name: str
    started: str
    exit_code: int = 1
    error: str | None = None
    failed_stage: str | None = None
    stages: list[dict[str, Any]] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    spans: dict[str, str] = field(default_factory=dict)
    bad_rows: dict[str, Any] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    training: str | None = None
    warm_start: dict[str, Any] | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    slices: list[dict[str, Any]] = field(default_factory=list)
    baseline: dict[str, Any] | None = None
    verdict: dict[str, Any] | None = None
    serving_check: dict[str, Any] | None = None
    pushed_version: int | None = None
    pushed_path: str | None = None
    log: str | None = None
    report: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    code_digest: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Replaces `path` whole."""
        write_whole(path, json.dumps(vars(self), indent=1) + "\n")


def run(
    config: RecommenderConfig,
    data_folder: Path,
    root: Path,
    *,
    verbose: bool = False,
    best_aucs: Mapping[str, float] | None = None,
    warm_start: bool = False,
) -> RunRecord:
    """Runs the pipeline and prints a line a stage, a table of tasks, and where the model is.

    Args:
        config: What to learn.
        data_folder: Where relative paths of the config's source start.
        root: The pipeline root: artifacts, metadata, logs and served models.
        verbose: Whether to let TensorFlow and Beam print.
        best_aucs: The AUC no model can pass, by task, where it is known.
        warm_start: Whether the training goes on from the model that serves.

    Returns:
        The report that was also written to `last_run.json`; its `exit_code` is 0 or 4.

    Raises:
        UserError: What stopped the run; the report is written all the same.
    """
    paths = RunPaths(root.resolve(), config.name)
    started = datetime.now(UTC)
    log = paths.logs / f"{started:%Y-%m-%dT%H-%M-%S}.log"
    report = RunRecord(
        config.name,
        started.isoformat(timespec="seconds"),
        log=str(log),
        config=config.model_dump(mode="json", exclude_unset=True),
        code_digest=code_digest(WHOLE_PRODUCT),
        versions=package_versions(),
    )
    source = spans.resolve(absolute_source(config, data_folder))
    fingerprint = log_fingerprint(source)
    with locked(paths.lock), quiet(log, verbose=verbose) as console:
        start = time.perf_counter()
        _write_alerts(paths, report, None)  # those that are there are of an older run
        try:
            _run_stages(config, source, fingerprint, paths, report, console, warm_start=warm_start)
        except Exception as error:
            traceback.print_exc()  # into the log
            stage = report.failed_stage or "preparation"
            console.print(f"  {stage:<17}[red]  failed[/red]; log in {_short(log)}", soft_wrap=True)
            report.error = str(error) if isinstance(error, UserError) else repr(error)
            report.exit_code = getattr(error, "exit_code", 1)
            raise
        finally:
            _write_page(report, paths, console)
            report.write(paths.last_run)
        _print_outcome(report, paths, console, best_aucs or {}, time.perf_counter() - start)
    return report


def _write_page(report: RunRecord, paths: RunPaths, console: Console) -> None:
    """Whatever went wrong with the page, the run went as it did."""
    try:
        report.report = str(write_page(vars(report), paths.root))
    except Exception as error:
        traceback.print_exc()  # into the log
        console.print(f"[yellow]no report could be made[/yellow]: {error!r}", soft_wrap=True)


def log_fingerprint(source: Source) -> str:
    """Changes when a file that `source` reads does."""
    files = spans.files_of(source, spans.read_window(source))
    if source.test_path is not None:
        files = [*files, *log_files.list_files(source.test_path)]
    return log_files.fingerprint(files)


def _run_stages(
    config: RecommenderConfig,
    source: Source,
    fingerprint: str,
    paths: RunPaths,
    report: RunRecord,
    console: Console,
    *,
    warm_start: bool = False,
) -> None:
    with console.status("loading TFX"):
        from taskroute.pipeline.dag.local_runner import StageRun, run_stages
        from taskroute.pipeline.dag.pipeline import create_pipeline

        pipeline = create_pipeline(config, source, fingerprint, paths, warm_start=warm_start)
    status = console.status("")
    console.print(f"[bold]{config.name}[/bold]  {config.trunk.kind}, {len(config.tasks)} tasks")

    def on_start(name: str) -> None:
        report.failed_stage = name
        status.update(name)
        status.start()

    def on_finish(stage: StageRun) -> None:
        status.stop()
        if stage.name == "LogExampleGen":
            (examples,) = stage.outputs["examples"]
            report.rows = {
                split: examples.get_int_custom_property(f"num_rows_{split}") for split in SPLITS
            }
            report.spans = _spans(examples)
            report.bad_rows = _bad_rows(*stage.outputs["quarantine"])
        if stage.name == "DayMonitor":
            changes = read_changes(stage.outputs["changes"][0].uri)
            report.alerts = alert_list(changes.changes)
            _write_alerts(paths, report, changes)
        if stage.name == "Trainer":
            model_run = Path(stage.outputs["model_run"][0].uri)
            report.training = str(model_run / "training.json")
            report.warm_start = _read_json(model_run / WARM_STARTED_FILE)
        for output, artifacts in stage.outputs.items():
            folder = Path(artifacts[0].uri)
            if folder.is_relative_to(paths.root):
                folder = folder.relative_to(paths.root)
            report.artifacts[f"{stage.name}.{output}"] = str(folder)
        rows = _rows_seen(stage.name, report.rows)
        report.stages.append(
            {
                "name": stage.name,
                "seconds": round(stage.seconds, 3),
                "cached": stage.cached,
                "rows": rows,
            }
        )
        console.print(_stage_line(stage.name, stage.seconds, stage.cached, rows))
        if stage.name == "Trainer" and report.warm_start is not None:
            console.print(f"    {report.warm_start['sentence']}", soft_wrap=True)
        if stage.name == "LogExampleGen":
            _print_data(report, console)
        if stage.name == "DayMonitor":
            for alert in report.alerts:
                sentence = escape(alert["sentence"])
                console.print(f"    [yellow]alert[/yellow] {sentence}", soft_wrap=True)

    try:
        stages = run_stages(pipeline, on_start, on_finish)
    finally:
        status.stop()
    report.failed_stage = None
    evaluator, pusher = stages["TaskEvaluator"].outputs, stages["ModelPusher"].outputs
    measured, verdict = read_evaluation(evaluator["evaluation"][0].uri)
    metrics = measured.model_dump(mode="json")
    report.metrics, report.baseline = metrics["tasks"], metrics["baseline"]
    report.slices = [
        {**found, "tasks": {name: task["candidate"] for name, task in found["tasks"].items()}}
        for found in metrics["slices"]
    ]
    report.verdict = verdict.model_dump(mode="json")
    served = read_report(stages["ServingCheck"].outputs["blessing"][0].uri)
    report.serving_check = {**served.model_dump(mode="json"), "summary": served.summary}
    report.exit_code = 0 if verdict.blessed else NOT_BLESSED
    if not served.passed:
        # Said before all else: a candidate that is no better is daily business, this is a fault.
        report.exit_code = SERVING_CHECK_FAILED
    if "InfraValidator" in stages:
        (blessing,) = stages["InfraValidator"].outputs["blessing"]
        if blessing.get_int_custom_property("blessed") != 1:
            report.serving_check |= {"summary": "InfraValidator: the server did not load the model"}
            report.exit_code = SERVING_CHECK_FAILED
    (pushed,) = pusher["pushed_model"]
    if pushed.get_int_custom_property("pushed"):
        report.pushed_version = int(pushed.get_string_custom_property("pushed_version"))
        report.pushed_path = pushed.get_string_custom_property("pushed_destination")


def _write_alerts(paths: RunPaths, report: RunRecord, changes: DayChanges | None) -> None:
    facts = {
        "name": report.name,
        "run": report.started,
        "now": changes and changes.now,
        "judged": num_judged(changes.changes if changes else ()),
        "note": changes.note if changes else "the run did not come to DayMonitor",
    }
    write_alerts(paths.alerts, facts, report.alerts)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _spans(examples: Any) -> dict[str, str]:
    """First, last and missing spans of the log; empty where it has none."""
    names = ("first_span", "last_span", "missing_spans")
    return {
        name: examples.get_string_custom_property(name)
        for name in names
        if examples.has_custom_property(name)
    }


def _bad_rows(quarantine: Any) -> dict[str, Any]:
    """How many rows were left out, by reason, and the folder that holds them."""
    counts = {
        reason: quarantine.get_int_custom_property(f"num_rows_{reason}")
        for reason in REASONS
        if quarantine.has_custom_property(f"num_rows_{reason}")
    }
    return {
        "rows": quarantine.get_int_custom_property("num_rows"),
        "reasons": counts,
        "folder": quarantine.uri,
    }


def _print_data(report: RunRecord, console: Console) -> None:
    if report.spans:
        line = f"    log of {report.spans['first_span']} to {report.spans['last_span']}"
        if report.spans["missing_spans"]:
            line += f", [yellow]without rows: {report.spans['missing_spans']}[/yellow]"
        console.print(line, soft_wrap=True)
    if report.bad_rows["rows"]:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in report.bad_rows["reasons"].items())
        folder = _short(Path(report.bad_rows["folder"]))
        console.print(
            f"    [yellow]{report.bad_rows['rows']:,} rows left out[/yellow] ({reasons}), kept in "
            f"{folder}",
            soft_wrap=True,
        )


def _rows_seen(stage: str, rows: Mapping[str, int]) -> int | None:
    """Rows that a stage reads, for its rate; None where it reads none."""
    match stage:
        case "LogExampleGen" | "StatisticsGen" | "Transform" | "DayMonitor":
            return sum(rows.values())
        case "TaskEvaluator":
            return rows["test"]
    return None


def _stage_line(name: str, seconds: float, cached: bool, rows: int | None) -> str:
    line = f"  {name:<17}"
    if cached:
        return f"{line}[dim]{'reused':>8}[/dim]"
    line += f"{seconds:>7.1f}s"
    if rows:
        line += f"{rows:>12,} rows{rows / max(seconds, 1e-3):>12,.0f} rows/s"
    return line


def _print_outcome(
    report: RunRecord,
    paths: RunPaths,
    console: Console,
    best_aucs: Mapping[str, float],
    seconds: float,
) -> None:
    verdict = report.verdict or {}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("task")
    has_gauc = any(task["values"].get("gauc") is not None for task in report.metrics.values())
    optional = [*(["best"] if best_aucs else []), *(["GAUC"] if has_gauc else [])]
    for header in ("rows", "rate", "AUC", *optional, "calibration", "MAE"):
        table.add_column(header, justify="right")
    for task, metrics in report.metrics.items():
        values = metrics["values"]
        rate = values.get("actual_rate")
        cells = [
            task,
            f"{metrics['num_examples']:,}",
            "" if rate is None else f"{rate:.1%}",
            _number(values.get("auc"), 4),
        ]
        if best_aucs:
            cells.append(_number(best_aucs.get(task), 4))
        if has_gauc:
            cells.append(_number(values.get("gauc"), 4))
        cells.append(_number(values.get("calibration"), 3))
        table.add_row(*cells, _number(values.get("mae"), 2))
    console.print()
    console.print(table)
    console.print()
    for line in verdict_lines(verdict["gates"]):
        console.print(line, soft_wrap=True)
    if verdict["gates"]:
        console.print()
    if report.exit_code == SERVING_CHECK_FAILED and report.serving_check is not None:
        problem = report.serving_check["summary"]
        console.print(f"[red]DOES NOT SERVE, not pushed[/red]: {problem}", soft_wrap=True)
    elif not verdict["blessed"]:
        console.print(f"[red]NOT BLESSED, not pushed[/red]: {verdict['summary']}", soft_wrap=True)
    else:
        console.print(
            f"[green]BLESSED[/green] ({verdict['summary']}): version {report.pushed_version} is "
            f"served from {_short(paths.serving)}",
            soft_wrap=True,
        )
    console.print(
        f"{seconds:.0f} s; figures in {_short(paths.last_run)}, log in "
        f"{_short(Path(report.log or ''))}",
        soft_wrap=True,
    )
    if report.report is not None:
        console.print(f"report for a browser: {_short(Path(report.report))}", soft_wrap=True)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _short(path: Path) -> str:
    """The path as a person would type it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
