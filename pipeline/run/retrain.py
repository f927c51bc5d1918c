"""`taskroute retrain`: trains on from the served version on the newest span, pushes if it passes.

The command is made for a scheduler: it does nothing if the span was trained before, and prints its
verdict in one line of JSON; after any failure the served version stays.
"""

import contextlib
import json
import os
import time
from pathlib import Path

import click
from pydantic import ValidationError

from taskroute.components.logs import spans
from taskroute.components.served import registry
from taskroute.pipeline.inspection.check import check_log
from taskroute.pipeline.run import run as runner
from taskroute.pipeline.run.paths import RunPaths, absolute_source
from taskroute.pipeline.run.quiet import quiet
from taskroute.schemas.errors import (
    NOT_BLESSED,
    SERVING_CHECK_FAILED,
    ConfigError,
    DataError,
    UserError,
)
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig
from taskroute.schemas.run_record import Outcome, RetrainVerdict, RunRecord
from taskroute.schemas.source import Source
from taskroute.schemas.warm_start import WarmStartRecord
from taskroute.schemas.whole_files import write_whole

# File of the summary of a GitHub Actions job.
_SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"

_OUTCOMES: dict[int, Outcome] = {
    0: "pushed",
    ConfigError.exit_code: "config_refused",
    DataError.exit_code: "data_refused",
    NOT_BLESSED: "not_blessed",
    SERVING_CHECK_FAILED: "does_not_serve",
}


def retrain(
    config: RecommenderConfig,
    data_folder: Path,
    root: Path,
    *,
    span: str | None = None,
    verbose: bool = False,
    only_json: bool = False,
) -> RetrainVerdict:
    """Trains on the newest complete window, unless trained before, and pushes a model that passes.

    Args:
        config: Config whose source has spans.
        data_folder: Folder in which relative paths of the config's source start.
        root: The pipeline root.
        span: Last span of the window; the newest complete one by default.
        verbose: Whether to let TensorFlow and Beam print.
        only_json: Whether to print the verdict only.

    Returns:
        The verdict, which was also printed and written.

    Raises:
        Exception: Reason of the stop; its verdict was printed and written, too.
    """
    start = time.perf_counter()
    paths = RunPaths(root.resolve(), config.name)
    verdict, first, last = None, None, None
    try:
        source = _source(config, data_folder, span)
        window = spans.read_window(source)
        if window is not None:
            first, last = window.spans[0], window.spans[-1]
        verdict = _already_trained(config, paths, (first, last)) or _train(
            config.model_copy(update={"source": source}),
            data_folder,
            root,
            verbose=verbose,
            only_json=only_json,
        )
    except Exception as error:
        code = getattr(error, "exit_code", 1)
        verdict = RetrainVerdict(
            name=config.name,
            outcome=_OUTCOMES.get(code, "failed") if code else "failed",
            exit_code=code,
            message=str(error) if isinstance(error, UserError) else repr(error),
        )
        raise
    finally:
        if verdict is not None:
            pointer = registry.latest(paths.serving)
            update = {
                "first_span": first,
                "last_span": last,
                "version": pointer and pointer.version,
                "seconds": round(time.perf_counter() - start, 1),
            }
            verdict = verdict.model_copy(update=update)
            _write(verdict, paths)
            click.echo(verdict.model_dump_json())
    return verdict


def _source(config: RecommenderConfig, data_folder: Path, span: str | None) -> Source:
    source = absolute_source(config, data_folder)
    if not source.has_spans:
        raise ConfigError(
            "source.path: has no spans, so there is no newest one to train on; write {YYYY}, {MM} "
            "and {DD}, or {SPAN}, into it and give `source.window_days`, or call `taskroute run`"
        )
    if span is not None:
        try:
            source = Source.model_validate({**source.model_dump(), "last_span": span})
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ConfigError(message.replace("`last_span`", "--span")) from None
    return spans.resolve(source)


def _already_trained(
    config: RecommenderConfig, paths: RunPaths, window: tuple[str | None, str | None]
) -> RetrainVerdict | None:
    """Verdict where a model of this config and window was pushed before, else None."""
    model_config = config.part(ModelConfig)
    for version, folder in registry.warm_starts(paths.serving).items():
        record = WarmStartRecord.find(folder)
        if record is None or record.data_span != window:
            continue
        if not record.matches(model_config, config.serving):
            continue
        message = f"already trained: version {version} is of this config and span"
        if version not in registry.versions(paths.serving):
            message += ", and was rolled back"
        return RetrainVerdict(
            name=config.name, outcome="already_trained", exit_code=0, message=message
        )
    return None


def _train(
    config: RecommenderConfig, data_folder: Path, root: Path, *, verbose: bool, only_json: bool
) -> RetrainVerdict:
    check_log(config, data_folder)
    silence = quiet(Path(os.devnull), verbose=False) if only_json else contextlib.nullcontext()
    with silence:
        record = runner.run(config, data_folder, root, verbose=verbose, warm_start=True)
    messages = {
        0: f"version {record.pushed_version} was pushed",
        NOT_BLESSED: record.verdict.summary if record.verdict else "",
        SERVING_CHECK_FAILED: record.serving_check.summary if record.serving_check else "",
    }
    return RetrainVerdict(
        name=config.name,
        outcome=_OUTCOMES[record.exit_code],
        exit_code=record.exit_code,
        message=messages[record.exit_code],
        warm_start=record.warm_start.sentence if record.warm_start else None,
        alerts=tuple(alert.sentence for alert in record.alerts),
        findings=tuple(finding.sentence for finding in record.findings),
        metrics=_metrics(record),
        report=record.report,
        log=record.log,
    )


def _metrics(record: RunRecord) -> dict[str, dict[str, dict[str, float | None]]]:
    """Metrics by task: those that gates judge, or else the first defined one."""
    gates = record.verdict.gates if record.verdict else ()
    metrics: dict[str, dict[str, dict[str, float | None]]] = {}
    for task, candidate in record.metrics.items():
        defined = [name for name, value in candidate.values.items() if value is not None]
        gated = [gate.metric for gate in gates if gate.task == task]
        for name in dict.fromkeys(gated or defined[:1]):
            baseline = next(
                (
                    gate.baseline
                    for gate in gates
                    if (gate.task, gate.metric, gate.slice) == (task, name, None)
                ),
                None,
            )
            values = {"candidate": candidate.values.get(name), "baseline": baseline}
            metrics.setdefault(task, {})[name] = values
    return metrics


def _write(verdict: RetrainVerdict, paths: RunPaths) -> None:
    """Adds the verdict to last_run.json, and its Markdown to the summary of a job."""
    try:
        last_run = json.loads(paths.last_run.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        last_run = {}
    last_run["retrain"] = verdict.model_dump(mode="json")
    write_whole(paths.last_run, json.dumps(last_run, indent=1) + "\n")
    summary = os.environ.get(_SUMMARY_VARIABLE)
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(_markdown(verdict))


def _markdown(verdict: RetrainVerdict) -> str:
    """Verdict as Markdown, for people."""
    window = f", {verdict.first_span} to {verdict.last_span}" if verdict.last_span else ""
    lines = [
        f"### {verdict.name}: {verdict.outcome.replace('_', ' ')}",
        "",
        f"{verdict.message}{window}",
    ]
    if verdict.version is not None:
        lines.append(f"\nVersion {verdict.version} serves.")
    if verdict.warm_start:
        lines.append(f"\nWarm start: {verdict.warm_start}.")
    if verdict.alerts:
        lines += ["", *(f"* alert: {sentence}" for sentence in verdict.alerts)]
    if verdict.findings:
        lines += ["", *(f"* look at {sentence}" for sentence in verdict.findings)]
    if verdict.metrics:
        lines += ["", "| task | metric | candidate | baseline |", "|---|---|---:|---:|"]
    for task, metrics in verdict.metrics.items():
        for metric, values in metrics.items():
            cells = (_digits(values[side]) for side in ("candidate", "baseline"))
            lines.append(f"| {task} | {metric} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
