"""`taskroute retrain`: the newest span, on from the model that serves, pushed only if it passes.

It is made for a scheduler: it does nothing where the span was trained, it says what it did in one
line of JSON, and whatever goes wrong, what serves now goes on serving.
"""

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click
from pydantic import ValidationError

from taskroute.components.logs import spans
from taskroute.components.served import registry
from taskroute.pipeline.inspection.check import check_log
from taskroute.pipeline.run import run as runner
from taskroute.pipeline.run.paths import RunPaths, absolute_source
from taskroute.pipeline.run.quiet import quiet
from taskroute.schemas.base import Config
from taskroute.schemas.errors import (
    NOT_BLESSED,
    SERVING_CHECK_FAILED,
    ConfigError,
    DataError,
    UserError,
)
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig
from taskroute.schemas.source import Source
from taskroute.schemas.warm_start import WarmStartRecord
from taskroute.schemas.whole_files import write_whole

# The file to which a job of GitHub's Actions writes its summary.
_SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"

Outcome = Literal[
    "pushed",
    "already_trained",
    "not_blessed",
    "does_not_serve",
    "data_refused",
    "config_refused",
    "failed",
]

_OUTCOMES: dict[int, Outcome] = {
    0: "pushed",
    ConfigError.exit_code: "config_refused",
    DataError.exit_code: "data_refused",
    NOT_BLESSED: "not_blessed",
    SERVING_CHECK_FAILED: "does_not_serve",
}


class RetrainVerdict(Config):
    """What a retraining came to: the last line of stdout, and `retrain` in last_run.json.

    Attributes:
        name: Of the config.
        outcome: In a word.
        exit_code: Of the command.
        message: In a sentence.
        first_span: Of the window that was read, where it is known.
        last_span: Its last one.
        warm_start: What the training took over from the model that served; None where it started
            afresh or did not start.
        version: What serves now, if anything.
        alerts: What changed in the newest span, a sentence each; they change no outcome.
        metrics: By task, by metric: the candidate's value and the baseline's, where there is one.
        seconds: Of the whole command.
        report: The run's page, where there is one.
        log: The run's log, where there is one.
    """

    name: str
    outcome: Outcome
    exit_code: int
    message: str
    first_span: str | None = None
    last_span: str | None = None
    warm_start: str | None = None
    version: int | None = None
    alerts: tuple[str, ...] = ()
    metrics: dict[str, dict[str, dict[str, float | None]]] = {}
    seconds: float = 0.0
    report: str | None = None
    log: str | None = None

    def markdown(self) -> str:
        """The verdict for people."""
        window = f", {self.first_span} to {self.last_span}" if self.last_span else ""
        lines = [
            f"### {self.name}: {self.outcome.replace('_', ' ')}",
            "",
            f"{self.message}{window}",
        ]
        if self.version is not None:
            lines.append(f"\nVersion {self.version} serves.")
        if self.warm_start:
            lines.append(f"\nWarm start: {self.warm_start}.")
        if self.alerts:
            lines += ["", *(f"* alert: {sentence}" for sentence in self.alerts)]
        if self.metrics:
            lines += ["", "| task | metric | candidate | baseline |", "|---|---|---:|---:|"]
        for task, metrics in self.metrics.items():
            for metric, values in metrics.items():
                cells = (_digits(values[side]) for side in ("candidate", "baseline"))
                lines.append(f"| {task} | {metric} | {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"


def retrain(
    config: RecommenderConfig,
    data_folder: Path,
    root: Path,
    *,
    span: str | None = None,
    verbose: bool = False,
    only_json: bool = False,
) -> RetrainVerdict:
    """Trains on the newest complete span's window, unless that was done, and pushes what passes.

    Args:
        config: Its source has spans.
        data_folder: Where relative paths of the config's source start.
        root: The pipeline root.
        span: The window's last span, in place of the newest complete one.
        verbose: Whether to let TensorFlow and Beam print.
        only_json: Prints the verdict and nothing else.

    Returns:
        The verdict, which was also printed and written.

    Raises:
        Exception: What stopped it; its verdict was printed and written, too.
    """
    start = time.perf_counter()
    paths = RunPaths(root.resolve(), config.name)
    facts: dict[str, Any] = {"name": config.name}
    try:
        source = _source(config, data_folder, span)
        window = spans.read_window(source)
        if window is not None:
            facts |= {"first_span": window.spans[0], "last_span": window.spans[-1]}
        facts |= _already_trained(config, paths, facts) or _train(
            config.model_copy(update={"source": source}),
            data_folder,
            root,
            verbose=verbose,
            only_json=only_json,
        )
    except Exception as error:
        code = getattr(error, "exit_code", 1)
        facts |= {
            "outcome": _OUTCOMES.get(code, "failed") if code else "failed",
            "exit_code": code,
            "message": str(error) if isinstance(error, UserError) else repr(error),
        }
        raise
    finally:
        if "outcome" in facts:
            pointer = registry.latest(paths.serving)
            facts["version"] = pointer and pointer.version
            verdict = RetrainVerdict(**facts, seconds=round(time.perf_counter() - start, 1))
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
    config: RecommenderConfig, paths: RunPaths, facts: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The verdict where a model of this config and window was pushed before."""
    model_config = config.part(ModelConfig)
    span = (facts["first_span"], facts["last_span"])
    for version, folder in registry.warm_starts(paths.serving).items():
        record = WarmStartRecord.read(folder)
        if record is None or record.data_span != span:
            continue
        if not record.is_of(model_config, config.serving):
            continue
        message = f"already trained: version {version} is of this config and span"
        if version not in registry.versions(paths.serving):
            message += ", and was rolled back"
        return {"outcome": "already_trained", "exit_code": 0, "message": message}
    return None


def _train(
    config: RecommenderConfig, data_folder: Path, root: Path, *, verbose: bool, only_json: bool
) -> dict[str, Any]:
    check_log(config, data_folder)
    silence = quiet(Path(os.devnull), verbose=False) if only_json else contextlib.nullcontext()
    with silence:
        record = runner.run(config, data_folder, root, verbose=verbose, warm_start=True)
    messages = {
        0: f"version {record.pushed_version} was pushed",
        NOT_BLESSED: (record.verdict or {}).get("summary", ""),
        SERVING_CHECK_FAILED: (record.serving_check or {}).get("summary", ""),
    }
    return {
        "outcome": _OUTCOMES[record.exit_code],
        "exit_code": record.exit_code,
        "message": messages[record.exit_code],
        "warm_start": (record.warm_start or {}).get("sentence"),
        "alerts": tuple(alert["sentence"] for alert in record.alerts),
        "metrics": _metrics(record),
        "report": record.report,
        "log": record.log,
    }


def _metrics(record: runner.RunRecord) -> dict[str, dict[str, dict[str, float | None]]]:
    """Of each task, the metrics that gates judge, or else the first that is defined."""
    gates = (record.verdict or {}).get("gates", ())
    metrics: dict[str, dict[str, dict[str, float | None]]] = {}
    for task, found in record.metrics.items():
        defined = [name for name, value in found["values"].items() if value is not None]
        judged = [gate["metric"] for gate in gates if gate["task"] == task]
        for name in dict.fromkeys(judged or defined[:1]):
            baseline = next(
                (
                    gate["baseline"]
                    for gate in gates
                    if (gate["task"], gate["metric"], gate["slice"]) == (task, name, None)
                ),
                None,
            )
            values = {"candidate": found["values"].get(name), "baseline": baseline}
            metrics.setdefault(task, {})[name] = values
    return metrics


def _write(verdict: RetrainVerdict, paths: RunPaths) -> None:
    """Adds the verdict to last_run.json, and its text to the summary of a job."""
    try:
        last_run = json.loads(paths.last_run.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        last_run = {}
    last_run["retrain"] = verdict.model_dump(mode="json")
    write_whole(paths.last_run, json.dumps(last_run, indent=1) + "\n")
    summary = os.environ.get(_SUMMARY_VARIABLE)
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(verdict.markdown())


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
