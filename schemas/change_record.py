"""The files of monitoring: changes.json, alerts.json and serving_alerts.json."""

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

# share: a part of a whole; its change is a difference. ratio: of two sums; its change is relative.
# distribution: counts by cell; its change is a distance.
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
    """The cells of a column: of texts its most frequent terms and the rest, of numbers deciles.

    Attributes:
        column: Column of the log.
        terms: The most frequent texts first; all others share the last cell. None of numbers.
        boundaries: Bounds of numbers, rising; a cell holds its lower one and not its upper one.
    """

    column: str
    terms: tuple[str, ...] | None = None
    boundaries: tuple[FiniteFloat, ...] = ()

    @property
    def num_cells(self) -> int:
        return len(self.boundaries if self.terms is None else self.terms) + 1

    def name(self, cell: int) -> str:
        """The values of a cell, for people."""
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
    """A change that is told; `column` or `task` names its subject, the other one is left out."""

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
    """A change of a column or task, and whether it is an alert.

    Attributes:
        signal: Kind of the change.
        name: Name of the column or task.
        since: The reference span, or first and last of several.
        now: The span, or the log, that is compared.
        before: The share or ratio in the reference; None of a distribution.
        levels: The share or ratio by span, and of `now`, where it is defined.
        change: A difference of shares, a relative change of a ratio, or a distance of
            distributions; None where it is not defined.
        low: Lower end of its interval; None where there are too few rows for one.
        high: Its upper end.
        ordinary: The largest of the same changes among the reference spans.
        threshold: How much more than ordinary it may be.
        alert: Whether it is shown to be more.
        stop: Whether an alert of it ends the run.
        moved: The values of a column whose share moved most, in words.
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
        """Name of the signal for people: `skew` alone could mean that of splits."""
        return "training-serving skew" if self.signal == "skew" else self.signal

    @property
    def limit(self) -> float:
        """The size that a change must be shown to exceed."""
        return self.ordinary + self.threshold

    @property
    def shown(self) -> float:
        """The end of the interval that is nearer to no change; 0 where that lies within."""
        if self.low is None or self.high is None:
            return 0.0
        return max(self.low, -self.high, 0.0)

    @property
    def sentence(self) -> str:
        """The change in words."""
        found, shown, limit = (
            self.amount(abs(size)) for size in (self.change or 0.0, self.shown, self.limit)
        )
        if MEASURES[self.signal] == "distribution":
            what = f"distance {found}, at least {shown}, told above {limit}"
        else:
            side = "more" if (self.change or 0.0) > 0 else "less"
            what = (
                f"{self.level(self.levels.get(self.now))}, before {self.level(self.before)}: "
                f"{found} {side}, at least {shown}, told above {limit}"
            )
        moved = f"; {self.moved}" if self.moved else ""
        return (
            f"{self.signal_name} of {self.about} '{self.name}': {what}{moved} ({self.now} against "
            f"{self.since})"
        )

    def level(self, value: float | None) -> str:
        """A share or a ratio as a person reads it."""
        if value is None:
            return ""
        return f"{value:.1%}" if MEASURES[self.signal] == "share" else f"{value:.4g}"

    def amount(self, size: float) -> str:
        """A change as a person reads it."""
        match MEASURES[self.signal]:
            case "share":
                return f"{100 * size:.1f} points"
            case "ratio":
                return f"{size:.0%}"
            case _:
                return f"{size:.3f}"

    def signed(self, size: float) -> str:
        """The same with its sign, where it has one."""
        if MEASURES[self.signal] == "distribution":
            return self.amount(max(size, 0.0))
        return f"{'+' if size >= 0 else _MINUS}{self.amount(abs(size))}"

    def as_alert(self) -> Alert:
        """The change as an alert file holds it."""
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
    """The changes that are told."""
    return tuple(change.as_alert() for change in changes if change.alert)


def num_judged(changes: Iterable[JudgedChange]) -> int:
    """Number of the changes that had rows enough to be judged."""
    return sum(change.low is not None for change in changes)


class DayChanges(Record):
    """Changes of the newest span from those before it.

    Attributes:
        now: The newest span; None where the log has fewer than two, and nothing was compared.
        rows: Rows counted, by span, oldest first; under NO_SPAN where the log has none.
        every: One row in so many was counted.
        served_version: Version whose predictions were compared; None where none were.
        note: Reason why something was not compared, in a sentence; "" where there is none.
        changes: Every change that was judged, alerts first.
        histograms: Cells of the columns, in which a serving log is counted, too.
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
        run: Start of the run that found them, or whose log they compare with.
        now: The span, or the log, that was compared; None where none was.
        judged: Number of changes that were judged.
        note: Reason why something was not compared; "" where there is none.
        alerts: The changes that are told, which may be none.
    """

    FILE: ClassVar[str] = "alerts.json"

    name: str
    run: str
    now: str | None
    judged: NonNegativeInt
    note: str = ""
    alerts: tuple[Alert, ...]


class ServingAlertFile(AlertFile):
    """Alerts of a serving log, which `taskroute monitor` compared with the log of a run.

    Attributes:
        made: Time of the comparison.
        changes: Every change, alerts first.
    """

    FILE: ClassVar[str] = "serving_alerts.json"

    made: str
    changes: tuple[JudgedChange, ...]
