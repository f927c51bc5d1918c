"""Data of a run's report, read from artifacts without TensorFlow.

Times, the exit code and the reason of a stop are in no artifact: a runner on this machine adds them
with `dataclasses.replace`; a component on Kubeflow, whose own pages show times, makes the same page
without them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from taskroute.components.logs.bad_rows import BadRow
from taskroute.components.report.column_statistics import ColumnStatistics, read_column_statistics
from taskroute.components.report.importance import Importance
from taskroute.schemas.change_record import DayChanges, JudgedChange
from taskroute.schemas.evaluation_record import Measurements, Verdict
from taskroute.schemas.findings import Finding, Findings, without_repeats
from taskroute.schemas.log_splits import LogSplits
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.run_record import Stage
from taskroute.schemas.serving import SAVED_MODEL_FOLDER, ModelInfo
from taskroute.schemas.serving_check import ServingReport
from taskroute.schemas.source import SPLITS
from taskroute.schemas.training_record import TrainingRecord

# Rows of the quarantine that are read for an example of each reason.
_BAD_ROWS_READ = 5000


@dataclass(frozen=True)
class ReportData:
    """Facts of a run; parts that the run did not reach are empty or None.

    Attributes:
        config: The run's config.
        started: Time of the start, in UTC.
        failed_stage: Stage at which the run stopped; None where it did not.
        error: Reason why it stopped.
        stages: Finished stages, in their order.
        rows: Rows by split.
        log_splits: Rows and times of the splits, and the cut.
        spans: `first_span`, `last_span` and `missing_spans` of the log.
        bad_rows: Number of rows that were left out, by reason.
        bad_row_examples: One row of each reason, from the first rows of the quarantine.
        findings: Findings of the stages about the data.
        columns: Statistics of the log's columns.
        changes: Changes judged by DayMonitor.
        serving_changes: Changes in a serving log, judged since by `taskroute monitor`.
        training: The Trainer's record.
        model: Description of the exported model.
        measurements: Metrics of candidate and baseline on the test split.
        verdict: Whether the candidate may be served.
        serving_check: Whether the candidate serves.
        importance: Importance of the columns, where it was measured.
        pushed_version: Version of the pushed candidate.
        serving_version: Version that is served when the page is made.
        code_digest: Digest of this package.
        versions: Versions of the packages that did the work.
    """

    config: RecommenderConfig
    started: str | None = None
    failed_stage: str | None = None
    error: str | None = None
    stages: Sequence[Stage] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    log_splits: LogSplits | None = None
    spans: Mapping[str, str] = field(default_factory=dict)
    bad_rows: Mapping[str, int] = field(default_factory=dict)
    bad_row_examples: Mapping[str, BadRow] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    columns: Sequence[ColumnStatistics] = ()
    changes: DayChanges | None = None
    serving_changes: Sequence[JudgedChange] = ()
    training: TrainingRecord | None = None
    model: ModelInfo | None = None
    measurements: Measurements | None = None
    verdict: Verdict | None = None
    serving_check: ServingReport | None = None
    importance: Importance | None = None
    pushed_version: int | None = None
    serving_version: int | None = None
    code_digest: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def read_artifacts(config: RecommenderConfig, folders: Mapping[str, str]) -> ReportData:
    """Reads the artifacts of a run.

    Args:
        config: The run's config.
        folders: Folders by `STAGE.OUTPUT`, e.g. `Trainer.model_run`; others are left out.

    Raises:
        DataError: If a record in them cannot be understood.
    """
    parts: dict[str, Any] = {}
    records = [Findings.find(folder) for folder in folders.values()]
    parts["findings"] = without_repeats(
        finding for record in records if record for finding in record.findings
    )
    if folder := _existing(folders, "StatisticsGen.statistics"):
        parts["columns"] = read_column_statistics(folder, SPLITS)
    if folder := _existing(folders, "DayMonitor.changes"):
        parts["changes"] = DayChanges.read(folder)
    if folder := _existing(folders, "LogExampleGen.quarantine"):
        parts["log_splits"] = LogSplits.find(folder)
        parts["bad_row_examples"] = _bad_row_examples(folder)
    if folder := _existing(folders, "Trainer.model_run"):
        parts["training"] = TrainingRecord.read(folder)
    folder = _existing(folders, "Trainer.model")
    info = ModelInfo.find(folder / SAVED_MODEL_FOLDER) if folder else None
    if info is not None:
        parts |= {"model": info, "rows": info.num_rows}
        if info.data_span is not None:
            parts["spans"] = dict(zip(("first_span", "last_span"), info.data_span, strict=True))
    if folder := _existing(folders, "TaskEvaluator.evaluation"):
        parts["measurements"], parts["verdict"] = Measurements.read(folder), Verdict.read(folder)
    if folder := _existing(folders, "ServingCheck.blessing"):
        parts["serving_check"] = ServingReport.read(folder)
    return ReportData(config, **parts)


def _existing(folders: Mapping[str, str], name: str) -> Path | None:
    """Folder of an artifact; None where it is missing: a report shows what is left."""
    path = Path(folders[name]) if name in folders else None
    return path if path is not None and path.is_dir() else None


def _bad_row_examples(folder: Path) -> dict[str, BadRow]:
    examples: dict[str, BadRow] = {}
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for line in islice(file, _BAD_ROWS_READ):
                row = BadRow(**json.loads(line))
                examples.setdefault(row.reason, row)
    return examples
