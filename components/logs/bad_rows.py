"""Bad rows of a log, which are left out: reasons, places and counts."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from taskroute.schemas.errors import DataError
from taskroute.schemas.quarantine import RowsLeftOut

if TYPE_CHECKING:
    from tfx.types import Artifact

Reason = Literal[
    "uneven_row",  # a CSV row with more or fewer columns than the header
    "not_json",  # a line that is no JSON object
    "not_utf8",
    "wrong_type",  # a list or an object in a column of single values
    "not_a_number",
    "not_finite",  # infinite, also after rounding to float32
    "not_a_list",  # text in brackets that is no JSON array
    "too_long",
    "not_a_timestamp",
    "missing",  # only for columns that every row needs: timestamp or split key
    "wrong_label",
    "out_of_range",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

_SHOWN_ROWS = 10  # of each reason
_SHOWN_IN_RECORD = 200
_SHOWN_IN_SENTENCE = 60


class BadValues(Exception):  # noqa: N818 - caught where the file and the rows are known
    """Values of a column that cannot be read as its kind.

    `rows` are their places, int64, rising; None where the column as a whole is of another type.
    """

    def __init__(self, reason: Reason, problem: str, rows: np.ndarray | None):
        super().__init__(problem)
        self.reason = reason
        self.problem = problem
        self.rows = rows


def refuse_where(is_bad: np.ndarray, reason: Reason, problem: str) -> None:
    """Raises BadValues for the rows where `is_bad`, (N,) bool, is set."""
    if is_bad.any():
        raise BadValues(reason, problem, np.flatnonzero(is_bad))


class BadRow(NamedTuple):
    """One bad row; `value` is shortened, and None where there is none to show."""

    file: str
    row: int  # from 1, without header and blank lines
    reason: Reason
    column: str | None
    problem: str
    value: str | None

    def sentence(self) -> str:
        """Place and problem of the row, e.g. "log.csv: row 7, column 'age': 'x' is not ..."."""
        column = f", column '{self.column}'" if self.column is not None else ""
        has_value = self.value and self.column is not None
        shown = f"{_cut(repr(self.value), _SHOWN_IN_SENTENCE)} " if has_value else ""
        return f"{self.file}: row {self.row}{column}: {shown}{self.problem}"


def shorten(value: Any) -> str | None:
    """Text of a raw value, cut to the length that a BadRow holds."""
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value[: 4 * _SHOWN_IN_RECORD].decode(errors="replace")
    return _cut(str(value), _SHOWN_IN_RECORD)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}..."


@dataclass
class BadRowCounts:
    """Counts of bad rows by reason, and the first ten rows of each."""

    counts: dict[Reason, int] = field(default_factory=dict)
    shown: dict[Reason, list[BadRow]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def first(self) -> dict[Reason, BadRow]:
        """First row of each reason."""
        return {reason: rows[0] for reason, rows in self.shown.items()}

    def add(self, rows: Iterable[BadRow]) -> None:
        """Counts rows that come in the order of the log."""
        for row in rows:
            self.counts[row.reason] = self.counts.get(row.reason, 0) + 1
            self._show(row)

    def merge(self, later: "BadRowCounts") -> None:
        """Adds the counts of rows that come later in the log."""
        for reason, count in later.counts.items():
            self.counts[reason] = self.counts.get(reason, 0) + count
            for row in later.shown[reason]:
                self._show(row)

    def _show(self, row: BadRow) -> None:
        shown = self.shown.setdefault(row.reason, [])
        if len(shown) < _SHOWN_ROWS:
            shown.append(row)

    def to_json(self) -> dict[str, Any]:
        """Content for JSON, which `from_json` reads."""
        return {"counts": self.counts, "shown": self.shown}

    @staticmethod
    def from_json(report: Mapping[str, Any]) -> "BadRowCounts":
        """Counts from the content that `to_json` made."""
        shown = {reason: [BadRow(*row) for row in rows] for reason, rows in report["shown"].items()}
        return BadRowCounts(dict(report["counts"]), shown)

    def _by_count(self) -> list[tuple[Reason, int]]:
        return sorted(self.counts.items(), key=lambda pair: -pair[1])

    def lines(self) -> list[str]:
        """First rows of each reason, for a person; none where a sentence has them all."""
        if self.total == len(self.shown):
            return []
        lines = []
        for reason, count in self._by_count():
            rows = self.shown[reason]
            extent = f"the first {len(rows)} of {count:,}" if count > len(rows) else f"{count:,}"
            lines += [f"{reason}, {extent}:", *(f"  {row.sentence()}" for row in rows)]
        return lines

    def refuse_above(
        self, max_fraction: float, num_rows: int, where: str, kept: str | None = None
    ) -> None:
        """Stops if too many rows are bad.

        Args:
            max_fraction: `source.max_bad_fraction`.
            num_rows: Number of all rows, bad ones included.
            where: Name of the log, for the message.
            kept: Folder where the bad rows are kept, if they are.

        Raises:
            DataError: If more are bad; names the counts and the first row of each reason, and has
                the first ten as details.
        """
        if self.total <= max_fraction * num_rows:
            return
        place = f"; kept in {kept}" if kept is not None else ""
        if self.total == 1:
            (row,) = self.first.values()
            raise DataError(
                f"{row.sentence()}; mend the row, or let `source.max_bad_fraction` "
                f"({max_fraction:g}) leave it out{place}"
            )
        reasons = "; ".join(
            f"{count:,} {reason}, first {self.first[reason].sentence()}"
            for reason, count in self._by_count()
        )
        raise DataError(
            f"{where}: {self.total:,} of {num_rows:,} rows are bad "
            f"({self.total / num_rows:.2%}), more than `source.max_bad_fraction` "
            f"({max_fraction:g}) allows: {reasons}{place}",
            self.lines(),
        )


class BadRowWriter:
    """Counts bad rows and writes them to a file whose name no other worker uses.

    A line is a JSON object with the fields of BadRow. `file` is the file's name; None without rows.
    """

    def __init__(self, folder: Path):
        self.counts = BadRowCounts()
        self.file: str | None = None
        self._folder = folder

    def write(self, rows: Sequence[BadRow]) -> None:
        """Appends rows that come in the order of the log."""
        if not rows:
            return
        self.file = self.file or str(uuid.uuid4())
        self.counts.add(rows)
        lines = [json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in rows]
        with (self._folder / self.file).open("a", encoding="utf-8") as file:
            file.writelines(lines)


def rows_left_out(quarantine: "Artifact") -> RowsLeftOut:
    """Counts of the bad rows in LogExampleGen's quarantine."""
    return RowsLeftOut(
        rows=quarantine.get_int_custom_property("num_rows"),
        reasons={
            reason: quarantine.get_int_custom_property(f"num_rows_{reason}")
            for reason in REASONS
            if quarantine.has_custom_property(f"num_rows_{reason}")
        },
        folder=quarantine.uri,
    )
