"""What an evaluation leaves: metrics.json and verdict.json. Read without TensorFlow."""

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import FiniteFloat, NonNegativeFloat, NonNegativeInt, ValidationError

from taskroute.components.measures.binary import BinaryStatistics
from taskroute.components.measures.estimates import Estimates
from taskroute.components.measures.jackknife import Spread
from taskroute.components.measures.regression import RegressionStatistics
from taskroute.schemas.base import Config, Name
from taskroute.schemas.errors import DataError

METRICS_FILE = "metrics.json"
VERDICT_FILE = "verdict.json"

# Metrics that lie between 0 and 1 and whose intervals must, too.
SHARES = frozenset({"auc", "pr_auc", "gauc", "xauc"})

Statistics = BinaryStatistics | RegressionStatistics


class Interval(Config):
    """Where the truth lies at the evaluation's confidence, and what other intervals follow from."""

    low: FiniteFloat
    high: FiniteFloat
    standard_error: FiniteFloat
    degrees_of_freedom: NonNegativeInt

    @property
    def spread(self) -> Spread:
        return Spread(self.standard_error, self.degrees_of_freedom)


class ReliabilityBin(Config):
    """Some of a task's rows, next to each other by prediction, and what came of them.

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
    """What was measured for one task on one set of rows.

    Attributes:
        kind: The task's kind, on which the names of the metrics depend.
        num_examples: Rows that have a label for this task.
        weight: Sum of the weights of those rows.
        num_invalid: Rows, labelled or not, whose prediction is no number that the task allows.
        values: Metric to its value; None where it is undefined.
        undefined: Metric without a value to the reason.
        intervals: Metric to its interval, where it is known.
        reliability: Of binary tasks, by rising prediction; not kept for slices.
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
        """Without what is kept only for all rows."""
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


class Measurements(Config):
    """What was measured on one split, and how long that took.

    Attributes:
        split: Name of the split.
        num_examples: Its rows.
        seconds: From reading to metrics.
        confidence: Of the intervals.
        baseline: What the candidate is compared with, if anything serves.
        tasks: The candidate's metrics on all rows, by task.
        compared: Both models and their differences on all rows, by task.
        slices: The same for each slice.
    """

    split: str
    num_examples: NonNegativeInt
    seconds: NonNegativeFloat
    confidence: FiniteFloat = 0.95
    baseline: Baseline | None = None
    tasks: dict[str, TaskMetrics]
    compared: dict[str, MeasuredTask] = {}
    slices: tuple[MeasuredSlice, ...] = ()


class GateVerdict(Config):
    """What one rule says of one slice.

    Attributes:
        task: The task.
        metric: The metric.
        slice: "column=value", or None for all rows.
        value: The candidate's; None where it is undefined.
        baseline: The baseline's, where it has one.
        difference: Candidate minus baseline, where both are defined.
        low: Lower end of the interval that decided: of `value`, or of `difference`.
        high: Its upper end.
        confidence: Of that interval.
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


class Verdict(Config):
    """Whether the candidate may be served, and why."""

    blessed: bool
    summary: str
    gates: tuple[GateVerdict, ...]


def measure(statistics: Statistics, confidence: float) -> MeasuredTask:
    """Metrics, intervals and differences from the statistics of one task and slice."""
    models = range(len(statistics.num_invalid))
    estimates = [statistics.estimates(model) for model in models]
    metrics = [_task_metrics(statistics, model, estimates[model], confidence) for model in models]
    if len(metrics) == 1:
        return MeasuredTask(candidate=metrics[0])
    difference = estimates[0].minus(estimates[1])
    return MeasuredTask(
        candidate=metrics[0],
        baseline=metrics[1],
        differences={
            name: Difference(
                value=value or 0.0,
                interval=_interval(value or 0.0, difference.spread(name), confidence, False),
            )
            for name, value in difference.values.items()
        },
    )


def _task_metrics(
    statistics: Statistics, model: int, estimates: Estimates, confidence: float
) -> TaskMetrics:
    intervals = {
        name: _interval(value, estimates.spread(name), confidence, name in SHARES)
        for name, value in estimates.values.items()
        if value is not None
    }
    return TaskMetrics(
        kind="binary" if isinstance(statistics, BinaryStatistics) else "regression",
        num_examples=statistics.num_examples,
        weight=float(statistics.weights.sum()),
        num_invalid=int(statistics.num_invalid[model]),
        values=estimates.values,
        undefined=estimates.undefined,
        intervals={name: found for name, found in intervals.items() if found is not None},
        reliability=_reliability(statistics, model, confidence),
    )


def _reliability(
    statistics: Statistics, model: int, confidence: float
) -> tuple[ReliabilityBin, ...]:
    if not isinstance(statistics, BinaryStatistics):
        return ()
    bins = []
    for found in statistics.calibration_bins(model):
        interval = _interval(found.actual, found.spread, confidence, True)
        bins.append(
            ReliabilityBin(
                predicted=found.predicted,
                actual=found.actual,
                weight=found.weight,
                low=interval and interval.low,
                high=interval and interval.high,
            )
        )
    return tuple(bins)


def _interval(
    value: float, spread: Spread | None, confidence: float, is_share: bool
) -> Interval | None:
    if spread is None:
        return None
    low, high = spread.interval(value, confidence, is_share=is_share)
    return Interval(
        low=low,
        high=high,
        standard_error=spread.standard_error,
        degrees_of_freedom=spread.degrees_of_freedom,
    )


def write_evaluation(folder: str | Path, measurements: Measurements, verdict: Verdict) -> None:
    """Writes metrics.json and verdict.json into a folder, which is made where it lacks."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, record in ((METRICS_FILE, measurements), (VERDICT_FILE, verdict)):
        (folder / name).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_evaluation(folder: str | Path) -> tuple[Measurements, Verdict]:
    """Reads what `write_evaluation` wrote.

    Raises:
        DataError: If one of the files is missing or is not such a record.
    """
    folder = Path(folder)
    return _read(folder / METRICS_FILE, Measurements), _read(folder / VERDICT_FILE, Verdict)


_Record = TypeVar("_Record", Measurements, Verdict)


def _read(path: Path, kind: type[_Record]) -> _Record:
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; run the evaluation again"
        ) from None
    except ValidationError:
        raise DataError(
            f"{path}: is not the record of an evaluation; run the evaluation again"
        ) from None
