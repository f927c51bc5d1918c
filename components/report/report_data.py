"""What the report of a run shows, as plain data, and how it is read from artifacts.

Read without TensorFlow. What no artifact holds (times, exit code, why a run stopped), who ran the
stages adds with `dataclasses.replace`: so the same page serves a run on this machine, which knows
all of it, and a component on Kubeflow, whose own pages show times.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from taskroute.components.logs.bad_rows import BadRow
from taskroute.components.measures.day_records import DayChanges, JudgedChange, read_changes
from taskroute.components.measures.records import Measurements, Verdict, read_evaluation
from taskroute.components.report.column_statistics import ColumnStatistics, read_column_statistics
from taskroute.components.report.importance import Importance
from taskroute.components.served.check import ServingReport, read_report
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.serving import ModelInfo
from taskroute.schemas.source import SPLITS

_MODEL_INFO = "Format-Serving/assets.extra/model_info.json"
_TRAINING = "training.json"

# Rows of the quarantine that are read for an example of each reason.
_BAD_ROWS_READ = 5000


@dataclass(frozen=True)
class Stage:
    """A finished stage; `rows` is None where it reads none."""

    name: str
    seconds: float
    cached: bool
    rows: int | None


@dataclass(frozen=True)
class ReportData:
    """What is known of a run; a part that it did not come to is empty or None.

    Attributes:
        config: What was to be learned.
        started: Time of the start, in UTC.
        failed_stage: Where the run stopped, and `error` why; both None where it did not.
        stages: Finished ones, in their order.
        rows: By split.
        spans: `first_span`, `last_span` and `missing_spans` of the log.
        bad_rows: How many rows were left out, by reason.
        bad_row_examples: One row of each reason, as far as one was found soon.
        columns: Statistics of the log's columns.
        changes: What DayMonitor compared and found.
        serving_changes: What `taskroute monitor` found in a serving log since.
        training: What the Trainer wrote of its model: `training.json`.
        model: What the exported model says of itself.
        measurements: Of candidate and baseline on the test split.
        verdict: Whether the candidate may be served.
        serving_check: Whether it serves.
        importance: Of the columns, where that was asked for.
        pushed_version: The version that the candidate became.
        serving_version: The version that serves when the page is made.
        code_digest: Of this package.
        versions: Of the packages that did the work.
    """

    config: RecommenderConfig
    started: str | None = None
    failed_stage: str | None = None
    error: str | None = None
    stages: Sequence[Stage] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    spans: Mapping[str, str] = field(default_factory=dict)
    bad_rows: Mapping[str, int] = field(default_factory=dict)
    bad_row_examples: Mapping[str, BadRow] = field(default_factory=dict)
    columns: Sequence[ColumnStatistics] = ()
    changes: DayChanges | None = None
    serving_changes: Sequence[JudgedChange] = ()
    training: Mapping[str, Any] | None = None
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
    """What the artifacts of a run hold.

    Args:
        config: The run's.
        folders: By `STAGE.OUTPUT`, e.g. `Trainer.model_run`; what is not among them is left out.

    Raises:
        DataError: If an evaluation cannot be understood.
    """
    found: dict[str, Any] = {}
    if folder := _existing(folders, "StatisticsGen.statistics"):
        found["columns"] = read_column_statistics(folder, SPLITS)
    if folder := _existing(folders, "DayMonitor.changes"):
        found["changes"] = read_changes(folder)
    if folder := _existing(folders, "LogExampleGen.quarantine"):
        found["bad_row_examples"] = _bad_row_examples(folder)
    if folder := _existing(folders, "Trainer.model_run"):
        found["training"] = json.loads((folder / _TRAINING).read_bytes())
    folder = _existing(folders, "Trainer.model")
    if folder and (folder / _MODEL_INFO).is_file():
        info = ModelInfo.model_validate_json((folder / _MODEL_INFO).read_bytes())
        found |= {"model": info, "rows": info.num_rows}
        if info.data_span is not None:
            found["spans"] = dict(zip(("first_span", "last_span"), info.data_span, strict=True))
    if folder := _existing(folders, "TaskEvaluator.evaluation"):
        found["measurements"], found["verdict"] = read_evaluation(folder)
    if folder := _existing(folders, "ServingCheck.blessing"):
        found["serving_check"] = read_report(folder)
    return ReportData(config, **found)


def _existing(folders: Mapping[str, str], name: str) -> Path | None:
    """The folder, unless it is gone or was never made: a report of what is left is still one."""
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
