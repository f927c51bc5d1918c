"""What DayMonitor leaves: changes.json and tables.npz. Read without TensorFlow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from pydantic import (
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from taskroute.components.measures.histogram import Histogram
from taskroute.components.measures.tables import MEASURES, Tables, in_order
from taskroute.schemas.base import Config
from taskroute.schemas.errors import DataError
from taskroute.schemas.monitoring import COLUMN_SIGNALS, Signal

CHANGES_FILE = "changes.json"
TABLES_FILE = "tables.npz"


_MINUS = "\N{MINUS SIGN}"


class JudgedChange(Config):
    """A change, and whether it is told.

    Attributes:
        signal: What changed.
        name: Of the column or task.
        since: The span that is compared with, or first and last of them.
        now: The span, or the log, that is compared.
        before: The share or ratio of the rows that are compared with; None of a distribution.
        levels: That of each span, and of what is compared, where it is defined.
        change: A difference of shares, a relative change of a ratio, or a distance of
            distributions; None where it is not defined.
        low: Lower end of its interval; None where there are too few rows for one.
        high: Its upper end.
        ordinary: The largest of the same changes among the spans that are compared with.
        threshold: How much more than ordinary it may be.
        alert: Whether it is shown to be more.
        stop: Whether an alert of it ends the run.
        moved: Of a column's values, those whose share moved most.
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
        """What a change must be shown to be larger than."""
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

    def as_alert(self) -> dict[str, Any]:
        """What the alert file holds of it."""
        fields = ("signal", "since", "now", "before", "change", "low", "high", "ordinary")
        return {
            self.about: self.name,
            **{field: getattr(self, field) for field in fields},
            "value": self.levels.get(self.now),
            "threshold": self.threshold,
            "stop": self.stop,
            "sentence": self.sentence,
        }


def num_judged(changes: Sequence[JudgedChange]) -> int:
    """How many of the changes had rows enough to be judged."""
    return sum(change.low is not None for change in changes)


class DayChanges(Config):
    """What was compared, and what was found.

    Attributes:
        now: The newest span; None where the log has fewer than two, and nothing was compared.
        rows: Rows counted, by span, oldest first; under NO_SPAN where the log has none.
        every: One row in so many was counted.
        served_version: Whose predictions were compared; None where none were.
        note: What was not compared, and why; "" where all was.
        changes: Alerts first.
        histograms: The cells of the columns, in which a serving log is counted, too.
    """

    now: str | None
    rows: dict[str, NonNegativeInt]
    every: PositiveInt
    served_version: NonNegativeInt | None
    note: str
    changes: tuple[JudgedChange, ...]
    histograms: tuple[Histogram, ...]


def write_changes(folder: str | Path, changes: DayChanges) -> None:
    """Writes CHANGES_FILE into a folder that is there."""
    content = changes.model_dump_json(indent=1) + "\n"
    Path(folder, CHANGES_FILE).write_text(content, encoding="utf-8")


def read_changes(folder: str | Path) -> DayChanges:
    """What `write_changes` wrote of them.

    Raises:
        DataError: If the file is missing or is no such record.
    """
    path = Path(folder, CHANGES_FILE)
    try:
        return DayChanges.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; run the pipeline again"
        ) from None
    except ValidationError:
        raise DataError(f"{path}: is not what DayMonitor writes; run the pipeline again") from None


def write_tables(folder: str | Path, tables: Mapping[str, Tables]) -> None:
    """Writes the tables of each span as TABLES_FILE into a folder that is there."""
    arrays = {
        "/".join((span, *key)): table
        for span in in_order(tables)
        for key, table in tables[span].items()
    }
    np.savez_compressed(Path(folder, TABLES_FILE), **arrays)  # type: ignore[arg-type]


def read_tables(folder: str | Path) -> dict[str, Tables]:
    """The tables that `write_tables` wrote, by span, oldest first.

    Raises:
        DataError: If the file cannot be read.
    """
    path = Path(folder, TABLES_FILE)
    tables: dict[str, Tables] = {}
    try:
        with np.load(path) as arrays:
            for name, table in arrays.items():
                span, signal, of = name.split("/")
                tables.setdefault(span, {})[signal, of] = table
    except (OSError, ValueError, EOFError, BadZipFile):
        raise DataError(f"{path}: cannot be read; run the pipeline again") from None
    return tables
