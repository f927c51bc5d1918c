"""Files of monitoring: changes.json, alerts.json and serving_alerts.json."""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from pydantic import (
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from taskroute.schemas.base import Config
from taskroute.schemas.monitoring import COLUMN_SIGNALS, Signal
from taskroute.schemas.record import Record

# share: part of a whole; its change is a difference. ratio: quotient of two sums; its change is
# relative. distribution: counts by cell; its change is a distance.
Measure = Literal["share", "ratio", "distribution"]

MEASURES: dict[Signal, Measure] = {
    "drift": "distribution",  # values of a feature's column, in the cells of its histogram
    "split_shift": "distribution",
    "skew": "distribution",
    "missing": "share",  # rows without a value, rows
    "oov": "share",  # terms that the served model does not know, terms
    "label_delay": "share",  # rows whose label or weight is not there, rows
    "label_rate": "ratio",  # labels, their weight
    "prediction_mean": "ratio",  # predictions, rows
    "prediction_drift": "distribution",  # predictions of all rows
    "calibration": "ratio",  # predictions and labels of the rows that have one, by weight
}

_MINUS = "\N{MINUS SIGN}"


class Histogram(Config):
    """Cells of a column: for texts the most frequent terms and the rest, for numbers deciles.

    Attributes:
        column: Column of the log.
        terms: Most frequent texts, first the most frequent; all others share the last cell. None
            for numbers.
        boundaries: Rising bounds of numbers; a cell includes its lower bound, not its upper one.
    """

    column: str
    terms: tuple[str, ...] | None = None
    boundaries: tuple[FiniteFloat, ...] = ()

    @property
    def num_cells(self) -> int:
        return len(self.boundaries if self.terms is None else self.terms) + 1

    def name(self, cell: int) -> str:
        """Describes the values of a cell, for people."""
        if self.terms is not None:
            return f"'{self.terms[cell]}'" if cell < len(self.terms) else "all other terms"
        ends = self.boundaries
        if not ends:
            return "all values"
        if cell == 0:
            return f"below {ends[0]:.4g}"
        if cell == len(ends):
            return f"{ends[-1]:.4g} and more"
        return f"{ends[cell - 1]:.4g} to {ends[cell]:.4g}"


class Alert(Config):
    """Alert for a change of a `column` or a `task`; the other field is left out."""

    column: str | None = None
    task: str | None = None
    signal: Signal
    since: str
    now: str
    before: FiniteFloat | None
    change: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None
    ordinary: NonNegativeFloat
    value: FiniteFloat | None
    threshold: PositiveFloat
    stop: bool = False
    sentence: str

    @model_serializer(mode="wrap")
    def _name_one_subject(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        absent = "task" if self.task is None else "column"
        return {name: value for name, value in serialize(self).items() if name != absent}


class JudgedChange(Config):
    """Change of a column or task, and whether it is an alert.

    Attributes:
        signal: Kind of the change.
        name: Name of the column or task.
        since: Reference span, or first and last of several.
        now: Span, or log, that is compared with the reference.
        before: Share or ratio in the reference; None for a distribution.
        levels: Share or ratio by span, and of `now`, where it is defined.
        change: Difference of shares, relative change of a ratio, or distance of distributions; None
            where it is not defined.
        low: Lower end of the change's interval; None where there are too few rows.
        high: Upper end of the interval.
        ordinary: Largest change among the reference spans.
        threshold: Allowed change beyond the ordinary one.
        alert: Whether the interval lies beyond the limit.
        stop: Whether the alert ends the run.
        moved: Values of a column whose share moved most, in words.
    """

    signal: Signal
    name: str
    since: str
    now: str
    before: FiniteFloat | None
    levels: dict[str, FiniteFloat]
    change: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None
    ordinary: NonNegativeFloat
    threshold: PositiveFloat
    alert: bool
    stop: bool = False
    moved: str = ""

    @property
    def about(self) -> Literal["column", "task"]:
        return "column" if self.signal in COLUMN_SIGNALS else "task"

    @property
    def signal_name(self) -> str:
        """Name of the signal for people: `skew` alone could mean `split_shift`."""
        return "training-serving skew" if self.signal == "skew" else self.signal

    @property
    def limit(self) -> float:
        """Size beyond which a change alerts."""
        return self.ordinary + self.threshold

    @property
    def shown(self) -> float:
        """Distance of the interval from no change; 0 where the interval covers it."""
        if self.low is None or self.high is None:
            return 0.0
        return max(self.low, -self.high, 0.0)

    @property
    def sentence(self) -> str:
        """Describes the change in words."""
        size = self.amount(abs(self.change or 0.0))
        comparison = f"distance {size}"
        if MEASURES[self.signal] != "distribution":
            now, before = self.level(self.levels.get(self.now)), self.level(self.before)
            side = "more" if (self.change or 0.0) > 0 else "less"
            comparison = f"{now}, before {before}: {size} {side}"
        moved = f"; {self.moved}" if self.moved else ""
        return (
            f"{self.signal_name} of {self.about} '{self.name}': {comparison}, at least "
            f"{self.amount(self.shown)}, told above {self.amount(self.limit)}{moved} ({self.now} "
            f"against {self.since})"
        )

    def level(self, value: float | None) -> str:
        """Formats a share or a ratio for people."""
        if value is None:
            return ""
        return f"{value:.1%}" if MEASURES[self.signal] == "share" else f"{value:.4g}"

    def amount(self, size: float) -> str:
        """Formats the size of a change for people."""
        shown = {"share": f"{100 * size:.1f} points", "ratio": f"{size:.0%}"}
        return shown.get(MEASURES[self.signal], f"{size:.3f}")

    def signed(self, size: float) -> str:
        """Formats a change with its sign, where it has one."""
        if MEASURES[self.signal] == "distribution":
            return self.amount(max(size, 0.0))
        return f"{'+' if size >= 0 else _MINUS}{self.amount(abs(size))}"

    def as_alert(self) -> Alert:
        """Converts the change to the entry of an alert file."""
        fields = ("signal", "since", "now", "before", "change", "low", "high", "ordinary")
        return Alert.model_validate(
            {
                self.about: self.name,
                **{field: getattr(self, field) for field in fields},
                "threshold": self.threshold,
                "stop": self.stop,
                "value": self.levels.get(self.now),
                "sentence": self.sentence,
            }
        )


def alerts_of(changes: Iterable[JudgedChange]) -> tuple[Alert, ...]:
    """Alerts among the changes."""
    return tuple(change.as_alert() for change in changes if change.alert)


def num_judged(changes: Iterable[JudgedChange]) -> int:
    """Number of changes with enough rows to be judged."""
    return sum(change.low is not None for change in changes)


class DayChanges(Record):
    """Changes of the newest span from earlier ones.

    Attributes:
        now: Newest span; None where the log has fewer than two, and nothing was compared.
        rows: Rows counted, by span, oldest first; under NO_SPAN where the log has none.
        every: Sampling step: one row in this many was counted.
        served_version: Version whose predictions were compared; None where none were.
        note: Reason why something was not compared, in a sentence; "" where there is none.
        changes: Changes, alerts first.
        histograms: Cells of the columns; a serving log is counted in the same cells.
    """

    FILE: ClassVar[str] = "changes.json"
    TITLE: ClassVar[str] = "what DayMonitor writes"

    now: str | None
    rows: dict[str, NonNegativeInt]
    every: PositiveInt
    served_version: NonNegativeInt | None
    note: str
    changes: tuple[JudgedChange, ...]
    histograms: tuple[Histogram, ...]


class AlertFile(Record):
    """Alerts of the newest span, for CI, a pager or a person.

    Attributes:
        name: Name of the recommender.
        run: Start of the run that raised them, or of the run whose log is the reference.
        now: Span, or log, that was compared; None where none was.
        judged: Number of changes that were judged.
        note: Reason why something was not compared; "" where there is none.
        alerts: Alerts, which may be none.
    """

    FILE: ClassVar[str] = "alerts.json"

    name: str
    run: str
    now: str | None
    judged: NonNegativeInt
    note: str = ""
    alerts: tuple[Alert, ...]


class ServingAlertFile(AlertFile):
    """Alerts of a serving log, from `taskroute monitor`, against the log of a run.

    Attributes:
        made: Time of the comparison.
        changes: All changes, alerts first.
    """

    FILE: ClassVar[str] = "serving_alerts.json"

    made: str
    changes: tuple[JudgedChange, ...]
