"""The files of an evaluation: metrics.json and verdict.json."""

from typing import Any, ClassVar, Literal

from pydantic import FiniteFloat, NonNegativeFloat, NonNegativeInt, model_validator

from taskroute.schemas.base import Config, Name
from taskroute.schemas.record import Record


class Interval(Config):
    """Interval of a metric at the evaluation's confidence, and the spread that it comes from."""

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
        high: Its upper end.
    """

    predicted: FiniteFloat
    actual: FiniteFloat
    weight: FiniteFloat
    low: FiniteFloat | None
    high: FiniteFloat | None


class TaskMetrics(Config):
    """Metrics of one task on one set of rows.

    Attributes:
        kind: The task's kind, on which the names of the metrics depend.
        num_examples: Rows that have a label for this task.
        weight: Sum of the weights of those rows.
        num_invalid: Rows, labelled or not, whose prediction is no number that the task allows.
        values: Metric to its value; None where it is undefined.
        undefined: Metric without a value to the reason.
        intervals: Metric to its interval, where it is known.
        reliability: Bins of a binary task, by rising prediction; not kept for slices.
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
    """One task on one set of rows; `baseline` is None where there is none that predicts it."""

    candidate: TaskMetrics
    baseline: TaskMetrics | None = None
    differences: dict[str, Difference] = {}

    def of_slice(self) -> "MeasuredTask":
        """The same without the parts that are kept only for all rows."""
        models = {"candidate": self.candidate, "baseline": self.baseline}
        kept = {
            name: metrics and metrics.model_copy(update={"reliability": ()})
            for name, metrics in models.items()
        }
        return self.model_copy(update=kept)


class MeasuredSlice(Config):
    """The rows whose `column` holds `value`; "" where it holds nothing."""

    column: str
    value: str
    tasks: dict[str, MeasuredTask]

    @property
    def name(self) -> str:
        return f"{self.column}={self.value}"


class Baseline(Config):
    """The served version that the candidate is compared with."""

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
        num_examples: Its rows.
        seconds: From reading to metrics.
        confidence: Confidence level of the intervals.
        baseline: The served version, if there is one.
        compared: Both models and their differences on all rows, by task.
        slices: The same for each slice.
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
        """The candidate's metrics on all rows, by task."""
        return {name: measured.candidate for name, measured in self.compared.items()}


class GateVerdict(Config):
    """Verdict of one rule on one slice.

    Attributes:
        task: The task.
        metric: The metric.
        slice: "column=value", or None for all rows.
        value: The candidate's; None where it is undefined.
        baseline: The baseline's, where it has one.
        difference: Candidate minus baseline, where both are defined.
        low: Lower end of the interval that decided: of `value`, or of `difference`.
        high: Its upper end.
        confidence: Confidence level of that interval.
        rule: The bound in words.
        passed: None where there were too few rows to judge this value of a slice.
        reason: Why.
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
