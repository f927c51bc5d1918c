"""File of a run, last_run.json, and the verdict of a retraining in it."""

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, JsonValue, SerializerFunctionWrapHandler, model_serializer

from taskroute.schemas.base import Config
from taskroute.schemas.change_record import Alert
from taskroute.schemas.evaluation_record import Baseline, TaskMetrics, Verdict
from taskroute.schemas.findings import Finding
from taskroute.schemas.log_splits import LogSplits
from taskroute.schemas.quarantine import RowsLeftOut
from taskroute.schemas.record import Record
from taskroute.schemas.serving_check import ServingFindings
from taskroute.schemas.warm_start import WarmStartOutcome

Outcome = Literal[
    "pushed",
    "already_trained",
    "not_blessed",
    "does_not_serve",
    "data_refused",
    "config_refused",
    "failed",
]


class RetrainVerdict(Config):
    """Verdict of a retraining: the last line of stdout, and `retrain` in last_run.json.

    Attributes:
        name: Name of the config.
        outcome: Outcome in a word.
        exit_code: Exit code of the command.
        message: Outcome in a sentence.
        first_span: First span of the window, where it is known.
        last_span: Last span of the window.
        warm_start: Summary of the weights restored from the served version; None where the
            training started afresh or did not start.
        version: Served version, if there is one.
        alerts: Changes in the newest span, a sentence each; they change no outcome.
        findings: Findings about the data, a sentence each; they change no outcome.
        metrics: Values of the candidate and of the baseline, if any, by task and metric.
        seconds: Time of the whole command.
        report: Path of the run's page, where there is one.
        log: Path of the run's log, where there is one.
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
    findings: tuple[str, ...] = ()
    metrics: dict[str, dict[str, dict[str, float | None]]] = {}
    seconds: float = 0.0
    report: str | None = None
    log: str | None = None


class Stage(Config):
    """Finished stage; `rows` is None where it reads none."""

    name: str
    seconds: float
    cached: bool
    rows: int | None


class SliceMetrics(Config):
    """Metrics of the candidate by task, on the rows whose `column` holds `value`."""

    column: str
    value: str
    tasks: dict[str, TaskMetrics]


class ServingVerdict(ServingFindings):
    """Findings of the serving check, and their summary in words."""

    summary: str


class RunRecord(Record):
    """Record of a run, for scripts and the report page; filled in during the run.

    Attributes:
        artifacts: Folders by `STAGE.OUTPUT`, relative to the pipeline root where they lie in it.
        retrain: Verdict of the retraining that the run was part of; left out of other runs.
    """

    model_config = ConfigDict(frozen=False)

    FILE: ClassVar[str] = "last_run.json"

    name: str
    started: str
    exit_code: int = 1
    error: str | None = None
    failed_stage: str | None = None
    stages: list[Stage] = []
    rows: dict[str, int] = {}
    spans: dict[str, str] = {}
    splits: LogSplits | None = None
    bad_rows: RowsLeftOut = RowsLeftOut()
    alerts: tuple[Alert, ...] = ()
    findings: tuple[Finding, ...] = ()
    training: str | None = None
    warm_start: WarmStartOutcome | None = None
    metrics: dict[str, TaskMetrics] = {}
    slices: tuple[SliceMetrics, ...] = ()
    baseline: Baseline | None = None
    verdict: Verdict | None = None
    serving_check: ServingVerdict | None = None
    pushed_version: int | None = None
    pushed_path: str | None = None
    log: str | None = None
    report: str | None = None
    config: dict[str, JsonValue] = {}
    code_digest: str = ""
    versions: dict[str, str] = {}
    artifacts: dict[str, str] = {}
    retrain: RetrainVerdict | None = None

    @model_serializer(mode="wrap")
    def _no_empty_verdict(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialize(self)
        if self.retrain is None:
            del fields["retrain"]
        return fields
