"""Columns that files of a log lack, or that hold no value: counted, told, or refused."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from taskroute.components.logs.log_batch import LogBatch
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.findings import Finding


@dataclass
class ColumnCounts:
    """Counts of rows without a column, by file; and the columns that have values.

    Attributes:
        lacking: Rows of each file that lacks a column, by column and file.
        rows: Rows by file.
        known: Columns with a value, by split.
    """

    lacking: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    known: dict[str, list[str]] = field(default_factory=dict)

    def add_batch(self, batch: LogBatch) -> None:
        """Counts the rows of a batch, the bad ones included."""
        self._add_rows(batch.file, batch.num_rows + len(batch.passed_over), batch.lacking)

    def add_values(self, split: str, examples: pa.RecordBatch, rows: np.ndarray) -> None:
        """Notes columns that have a value.

        Args:
            split: Split of the rows.
            examples: Raw examples.
            rows: (N,) bool, the rows to look at.
        """
        known = self.known.setdefault(split, [])
        for name in examples.schema.names:
            if name not in known and bool((np.asarray(examples[name].is_valid()) & rows).any()):
                known.append(name)

    def merge(self, other: "ColumnCounts") -> None:
        """Adds the counts of other rows."""
        for file, count in other.rows.items():
            self._add_rows(file, count, ())
        for name, by_file in other.lacking.items():
            for file, count in by_file.items():
                own = self.lacking.setdefault(name, {})
                own[file] = own.get(file, 0) + count
        for split, names in other.known.items():
            known = self.known.setdefault(split, [])
            known += [name for name in names if name not in known]

    def to_json(self) -> dict[str, Any]:
        """Content for JSON, the keyword arguments of a copy."""
        return {"lacking": self.lacking, "rows": self.rows, "known": self.known}

    def is_known(self, name: str) -> bool:
        """Whether some row has a value."""
        return any(name in names for names in self.known.values())

    def _add_rows(self, file: str, count: int, lacking: Sequence[str]) -> None:
        self.rows[file] = self.rows.get(file, 0) + count
        for name in lacking:
            by_file = self.lacking.setdefault(name, {})
            by_file[file] = by_file.get(file, 0) + count


def refuse_empty(counts: ColumnCounts, columns: Sequence[RawColumn], where: str) -> None:
    """Refuses a log in which a required column has no value.

    Raises:
        DataError: If there is such a column.
    """
    for column in columns:
        if column.need == "every_file" and not counts.is_known(column.name):
            raise DataError(
                f"{where}: column '{column.name}' has no value in any row, and its feature is "
                "`required`; mend the log, or take `required` out"
            )


def findings(
    counts: ColumnCounts,
    columns: Sequence[RawColumn],
    labels: Collection[str] = (),
    extent: str = "any row",
) -> Iterator[Finding]:
    """Tells columns that files lack, and features' columns without a value.

    Args:
        counts: Counts of all rows.
        columns: Columns of the raw examples; those that no file must have are passed over.
        labels: Columns that are labels or weights.
        extent: Words for the rows that were read.
    """
    for column in columns:
        if column.need == "no_file":
            continue
        sentence = _sentence(column.name, counts, column.name in labels, extent)
        if sentence is not None:
            yield Finding(kind="missing_column", subject=column.name, sentence=sentence)


def _sentence(name: str, counts: ColumnCounts, is_label: bool, extent: str) -> str | None:
    by_file: Mapping[str, int] = counts.lacking.get(name, {})
    if by_file:
        consequence = (
            "those rows count for no task that needs it"
            if is_label
            else "set `required: true` on its feature to refuse such files"
        )
        unlearned = "" if is_label or name in counts.known.get("train", (name,)) else _UNLEARNED
        return (
            f"column '{name}', which {len(by_file):,} of {len(counts.rows):,} files lack, first "
            f"{min(by_file)}: it is missing in their {sum(by_file.values()):,} of "
            f"{sum(counts.rows.values()):,} rows{unlearned}; {consequence}"
        )
    if is_label:
        return None
    if not counts.is_known(name):
        return (
            f"column '{name}', which has no value in {extent}: its features say nothing; mend the "
            "log, or take them out"
        )
    if name not in counts.known.get("train", (name,)):
        return (
            f"column '{name}', which has no value in any train row: the model learns nothing from "
            "it until the train split reaches rows that have one"
        )
    return None


_UNLEARNED = ", and no train row has a value, so that the model learns nothing from it"
