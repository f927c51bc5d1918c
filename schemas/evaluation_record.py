"""Files of an evaluation: metrics.json and verdict.json."""

from typing import Any, ClassVar, Literal

from pydantic import FiniteFloat, NonNegativeFloat, NonNegativeInt, model_validator

from taskroute.schemas.base import Config, Name
from taskroute.schemas.record import Record


class Interval(Config):
    """Interval of a metric at the evaluation's confidence, and its standard error."""

    low: FiniteFloat
    high: FiniteFloat
    standard_error: FiniteFloat
    degrees_of_freedom: NonNegativeInt


class ReliabilityBin(Config):
    """Rows of a task with neighbouring predictions, and their labels.

    Attributes:
        predicted: Mean prediction.
        actual: Mean label.
        weight: Sum of the weights of the rows.
        low: Lower end of the interval of `actual`; None where it is not known.
        high: Upper end of that interval.
    """

    predicted: FiniteFloat
    actual: FiniteFloat
    weight: FiniteFloat
    low: FiniteFloat | None
    high: FiniteFloat | None


class TaskMetrics(Config):
    """Metrics of one task on one set of rows.

    Attributes:
        kind: Kind of the task, on which the names of the metrics depend.
        num_examples: Rows that have a label for this task.
        weight: Sum of the weights of those rows.
        num_invalid: Rows, labelled or not, whose prediction the task does not allow.
        values: Values by metric; None where undefined.
        undefined: Reasons by metric without a value.
        intervals: Intervals by metric, where known.
        reliability: Bins of a binary task, by rising prediction; empty for slices.
    """

    kind: Literal["binary", "regression"]
    num_examples: NonNegativeInt
    weight: FiniteFloat
    num_invalid: NonNegativeInt
    values: dict[str, FiniteFloat | None]
    undefined: dict[str, str]
    intervals: dict[str, Interval] = {}
    reliability: tuple[ReliabilityBin, ...] = ()


class Difference(Config):
    """Candidate minus baseline on the same rows; `interval` is None where it is not known."""

    value: FiniteFloat
    interval: Interval | None


class MeasuredTask(Config):
    """Metrics of both models for one task; `baseline` is None where it does not predict it."""

    candidate: TaskMetrics
    baseline: TaskMetrics | None = None
    differences: dict[str, Difference] = {}

    def without_bins(self) -> "MeasuredTask":
        """Copies the metrics without reliability bins, which slices do not store."""
        models = {"candidate": self.candidate, "baseline": self.baseline}
        changes = {
            name: metrics and metrics.model_copy(update={"reliability": ()})
            for name, metrics in models.items()
        }
        return self.model_copy(update=changes)


class MeasuredSlice(Config):
    """Metrics of the rows whose `column` holds `value`; "" for rows without a value."""

    column: str
    value: str
    tasks: dict[str, MeasuredTask]

    @property
    def name(self) -> str:
        return f"{self.column}={self.value}"


class Baseline(Config):
    """Served version that the candidate is compared with."""

    version: NonNegativeInt
    path: str
    model_digest: str


class _EvaluationRecord(Record):
    TITLE: ClassVar[str] = "the record of an evaluation"
    REMEDY: ClassVar[str] = "run the evaluation again"


class Measurements(_EvaluationRecord):
    """Metrics of the candidate, and of the baseline, on one split.

    Attributes:
        split: Name of the split.
        num_examples: Number of rows in it.
        seconds: Time from reading to metrics.
        confidence: Confidence level of the intervals.
        baseline: Served version, if there is one.
        compared: Metrics of both models and their differences on all rows, by task.
        slices: Metrics of each slice.
    """

    FILE: ClassVar[str] = "metrics.json"

    split: str
    num_examples: NonNegativeInt
    seconds: NonNegativeFloat
    confidence: FiniteFloat = 0.95
    baseline: Baseline | None = None
    compared: dict[str, MeasuredTask] = {}
    slices: tuple[MeasuredSlice, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _without_repetition(cls, value: Any) -> Any:
        """Version 0.1.0 wrote the candidate's metrics a second time, as `tasks`."""
        if isinstance(value, dict) and "compared" in value:
            return {name: part for name, part in value.items() if name != "tasks"}
        return value

    @property
    def tasks(self) -> dict[str, TaskMetrics]:
        """Metrics of the candidate on all rows, by task."""
        return {name: measured.candidate for name, measured in self.compared.items()}


class GateVerdict(Config):
    """Verdict of one rule on one slice.

    Attributes:
        task: Name of the task.
        metric: Name of the metric.
        slice: "column=value", or None for all rows.
        value: Value of the candidate; None where undefined.
        baseline: Value of the baseline, where it has one.
        difference: Candidate minus baseline, where both are defined.
        low: Lower end of the deciding interval, around `value` or `difference`.
        high: Upper end of that interval.
        confidence: Confidence level of that interval.
        rule: Bound in words.
        passed: Whether the rule holds; None where the slice has too few rows to judge.
        reason: Explanation in words.
    """

    task: Name
    metric: str
    slice: str | None = None
    value: FiniteFloat | None
    baseline: FiniteFloat | None = None
    difference: FiniteFloat | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    confidence: FiniteFloat | None = None
    rule: str
    passed: bool | None
    reason: str


class Verdict(_EvaluationRecord):
    """Whether the candidate may be served, and why."""

    FILE: ClassVar[str] = "verdict.json"

    blessed: bool
    summary: str
    gates: tuple[GateVerdict, ...]
