"""Fills the record of a run from the outputs of its stages."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from taskroute.components.logs.bad_rows import rows_left_out
from taskroute.schemas.change_record import AlertFile, DayChanges, alerts_of, num_judged
from taskroute.schemas.errors import NOT_BLESSED, SERVING_CHECK_FAILED
from taskroute.schemas.evaluation_record import MeasuredSlice, Measurements, Verdict
from taskroute.schemas.findings import Findings, without_repeats
from taskroute.schemas.log_splits import LogSplits
from taskroute.schemas.run_record import RunRecord, ServingVerdict, SliceMetrics, Stage
from taskroute.schemas.serving_check import ServingReport
from taskroute.schemas.source import SPLITS
from taskroute.schemas.training_record import TrainingRecord
from taskroute.schemas.warm_start import WarmStartOutcome

if TYPE_CHECKING:
    from tfx.types import Artifact

    from taskroute.pipeline.dag.local_runner import StageRun

_SPANS = ("first_span", "last_span", "missing_spans")


def add_stage(record: RunRecord, stage: "StageRun", root: Path) -> None:
    """Adds a finished stage and the facts in its outputs; DayMonitor's alerts get their file."""
    match stage.name:
        case "LogExampleGen":
            examples = stage.output("examples")
            record.rows = {
                split: examples.get_int_custom_property(f"num_rows_{split}") for split in SPLITS
            }
            record.spans = _texts(examples, _SPANS)
            record.splits = LogSplits.find(stage.output("quarantine").uri)
            record.bad_rows = rows_left_out(stage.output("quarantine"))
        case "DayMonitor":
            changes = DayChanges.read(stage.output("changes").uri)
            record.alerts = alerts_of(changes.changes)
            write_alerts(record, changes, root)
        case "Trainer":
            folder = stage.output("model_run").uri
            record.training = str(TrainingRecord.path(folder))
            record.warm_start = WarmStartOutcome.find(folder)
    for output, artifacts in stage.outputs.items():
        path = Path(artifacts[0].uri)
        inside = path.relative_to(root) if path.is_relative_to(root) else path
        record.artifacts[f"{stage.name}.{output}"] = str(inside)
        found = Findings.find(path)
        if found is not None:
            record.findings = without_repeats((*record.findings, *found.findings))
    record.stages.append(
        Stage(
            name=stage.name,
            seconds=round(stage.seconds, 3),
            cached=stage.cached,
            rows=_rows_read(stage.name, record.rows),
        )
    )


def add_outcome(record: RunRecord, stages: Mapping[str, "StageRun"]) -> None:
    """Adds the evaluation, the serving check, the push and the exit code of finished stages."""
    evaluation = stages["TaskEvaluator"].output("evaluation").uri
    measurements, verdict = Measurements.read(evaluation), Verdict.read(evaluation)
    record.metrics, record.baseline = measurements.tasks, measurements.baseline
    record.slices = tuple(map(_candidate, measurements.slices))
    record.verdict = verdict
    report = ServingReport.read(stages["ServingCheck"].output("blessing").uri)
    serves, summary = report.passed, report.summary
    if "InfraValidator" in stages:
        blessing = stages["InfraValidator"].output("blessing")
        if blessing.get_int_custom_property("blessed") != 1:
            serves, summary = False, "InfraValidator: the server did not load the model"
    record.serving_check = ServingVerdict(
        checks=report.checks, latency=report.latency, facts=report.facts, summary=summary
    )
    record.exit_code = 0 if verdict.blessed else NOT_BLESSED
    if not serves:
        # Comes before the gate's verdict: a candidate that is no better is daily business, this is
        # a fault.
        record.exit_code = SERVING_CHECK_FAILED
    pushed = stages["ModelPusher"].output("pushed_model")
    if pushed.get_int_custom_property("pushed"):
        record.pushed_version = int(pushed.get_string_custom_property("pushed_version"))
        record.pushed_path = pushed.get_string_custom_property("pushed_destination")


def write_alerts(record: RunRecord, changes: DayChanges | None, root: Path) -> None:
    """Replaces the alert file; `changes` is None until the run reaches DayMonitor."""
    AlertFile(
        name=record.name,
        run=record.started,
        now=changes and changes.now,
        judged=num_judged(changes.changes if changes else ()),
        note=changes.note if changes else "the run did not come to DayMonitor",
        alerts=record.alerts,
    ).write(root)


def _texts(artifact: "Artifact", names: tuple[str, ...]) -> dict[str, str]:
    """Text properties of an artifact, without missing ones."""
    return {
        name: artifact.get_string_custom_property(name)
        for name in names
        if artifact.has_custom_property(name)
    }


def _rows_read(stage: str, rows: Mapping[str, int]) -> int | None:
    """Number of rows that a stage reads, for its rate; None where it reads none."""
    match stage:
        case "LogExampleGen" | "StatisticsGen" | "Transform" | "DayMonitor":
            return sum(rows.values())
        case "TaskEvaluator":
            return rows["test"]
    return None


def _candidate(measured_slice: MeasuredSlice) -> SliceMetrics:
    tasks = {name: task.candidate for name, task in measured_slice.tasks.items()}
    return SliceMetrics(column=measured_slice.column, value=measured_slice.value, tasks=tasks)
