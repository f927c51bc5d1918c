"""Checks the labels while the log is read, and counts the rows that count for each task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.components.logs.bad_rows import BadValues
from taskroute.components.logs.log_batch import RowCheck
from taskroute.schemas.errors import DataError
from taskroute.schemas.tasks import Label, Task, in_funnel_order

# Roles of a row in a task. A row from 0 on counts, in loss and metrics; VALUE is a regression's.
NEGATIVE, POSITIVE, VALUE, CONTRADICTION = 0, 1, 2, 3
MISSING, OUTSIDE, WEIGHTLESS = -1, -2, -3


@dataclass(frozen=True)
class LabelCounts:
    """Numbers of rows of a task by role.

    Attributes:
        negatives: Rows that count with a label of 0.
        positives: Rows that count with a label of 1, contradictions among them.
        missing: Rows without a label.
        values: Rows that count for a regression.
        outside: Rows with a label where `trained_where` is 0 or missing.
        weightless: Rows that would count, but for a weight of 0 or none.
        contradictions: Rows that count with a label of 1 where the `funnel` task's is 0.
    """

    negatives: int = 0
    positives: int = 0
    missing: int = 0
    values: int = 0
    outside: int = 0
    weightless: int = 0
    contradictions: int = 0

    def __add__(self, other: "LabelCounts") -> "LabelCounts":
        return LabelCounts(
            *(getattr(self, one.name) + getattr(other, one.name) for one in fields(self))
        )

    @property
    def counted(self) -> int:
        """Rows that count, in loss and metrics."""
        return self.negatives + self.positives + self.values

    @property
    def total(self) -> int:
        return self.counted + self.missing + self.outside + self.weightless

    @property
    def left_out(self) -> str:
        """Reasons that leave rows out, with their numbers, in words."""
        reasons = (
            (self.missing, "have no label"),
            (self.outside, "do not meet `trained_where`"),
            (self.weightless, "have a weight of 0 or none"),
        )
        return ", ".join(f"{count:,} {words}" for count, words in reasons if count)


def read_labels(
    check: RowCheck, converted: pa.RecordBatch, tasks: Sequence[Task]
) -> dict[str, np.ndarray]:
    """Roles of the rows by task: (N,) int8, as `count_labels` counts them.

    Rows with a label that is neither 0 nor 1 where it must be, or below its minimum, or with a
    negative weight, are noted as bad.

    Args:
        check: Rows that are read.
        converted: Their columns as `check.convert` makes them.
        tasks: Tasks.
    """
    for column, minimum in _minima(tasks).items():
        check.read(column, partial(_refuse_below, minimum=minimum), converted[column])

    def read(task: Task, column: pa.Array) -> np.ndarray:
        return check.read(task.label.column, partial(_to_labels, label=task.label), column)

    return _roles({name: converted[name] for name in converted.schema.names}, tasks, read)


def roles_of(columns: Mapping[str, pa.Array], tasks: Sequence[Task]) -> dict[str, np.ndarray]:
    """Roles by task of rows that `read_labels` has found good: (N,) int8.

    Args:
        columns: Columns of labels and weights as lists, by name.
        tasks: Tasks; a task that another one names is among them.
    """
    return _roles(columns, tasks, lambda task, column: _to_labels(column, task.label, refuse=False))


def _roles(
    columns: Mapping[str, pa.Array],
    tasks: Sequence[Task],
    read: Callable[[Task, pa.Array], np.ndarray],
) -> dict[str, np.ndarray]:
    labels: dict[str, np.ndarray] = {}
    contradicts: dict[str, np.ndarray] = {}
    for task in in_funnel_order(tasks):
        column = columns[task.label.column]
        if task.kind == "regression":
            labels[task.name] = np.where(column.is_valid(), VALUE, MISSING).astype(np.int8)
            continue
        label = read(task, column)
        if task.funnel is not None:
            never_asked = labels[task.funnel] == NEGATIVE
            label = np.where(never_asked & (label == MISSING), np.int8(NEGATIVE), label)
            contradicts[task.name] = never_asked & (label == POSITIVE)
        labels[task.name] = label
    roles = {}
    for task in tasks:
        role = labels[task.name].copy()
        is_known = role != MISSING
        if task.name in contradicts:
            role[contradicts[task.name]] = CONTRADICTION
        if task.weight is not None:
            role[is_known & ~_is_above_0(columns[task.weight])] = WEIGHTLESS
        if task.trained_where is not None:
            role[is_known & (labels[task.trained_where] != POSITIVE)] = OUTSIDE
        roles[task.name] = role
    return roles


def binary_tasks(tasks: Sequence[Task]) -> list[Task]:
    """Tasks whose label is 0 or 1."""
    return [task for task in tasks if task.kind == "binary"]


def count_labels(roles: np.ndarray) -> LabelCounts:
    """Counts the roles of rows in one task, as `read_labels` gives them."""
    counts = np.bincount(roles.astype(np.int64) - WEIGHTLESS, minlength=7).tolist()
    weightless, outside, missing, negatives, positives, values, contradictions = counts
    return LabelCounts(
        negatives,
        positives + contradictions,
        missing,
        values,
        outside,
        weightless,
        contradictions,
    )


def require_counted(counts: Mapping[str, LabelCounts], rows: str = "train row") -> None:
    """Refuses a task for which no row counts.

    Args:
        counts: Label counts by task.
        rows: Name of the counted rows, for the message.

    Raises:
        DataError: If there is such a task; names the reasons.
    """
    for name, count in counts.items():
        if count.counted:
            continue
        if count.missing == count.total:
            raise DataError(
                f"task '{name}': the label is missing in every {rows}; check its column, or leave "
                "the task out"
            )
        raise DataError(
            f"task '{name}': no {rows} counts for it: {count.left_out}; mend the column, "
            "or leave the task out"
        )


def check_both_classes(counts: Mapping[str, LabelCounts], rows: str = "train row") -> None:
    """Refuses a binary task that teaches nothing.

    Args:
        counts: Label counts by binary task.
        rows: Name of the counted rows, for the message.

    Raises:
        DataError: If no row counts for a task, or all that do have one class.
    """
    require_counted(counts, rows)
    for name, count in counts.items():
        if count.negatives and count.positives:
            continue
        has_others = count.outside or count.weightless
        others = f" that counts ({count.left_out})" if has_others else ""
        raise DataError(
            f"task '{name}': the label is {0 if count.negatives else 1} in every {rows}{others}; a "
            "binary task needs rows of both classes: check its column and its rule, such as "
            "`at_least`"
        )


def _minima(tasks: Sequence[Task]) -> dict[str, float]:
    minima: dict[str, float] = {}
    for task in tasks:
        if task.label.least is not None:
            column = task.label.column
            minima[column] = max(task.label.least, minima.get(column, task.label.least))
        if task.weight is not None:
            minima[task.weight] = max(0.0, minima.get(task.weight, 0.0))
    return minima


def _is_above_0(column: pa.Array) -> np.ndarray:
    is_above = np.array(column.is_valid())
    is_above[is_above] = np.asarray(column.flatten()) > 0
    return is_above


def _refuse_below(column: pa.Array, minimum: float) -> pa.Array:
    present = np.asarray(column.is_valid())
    low = np.asarray(column.flatten()) < minimum
    if low.any():
        raise BadValues(
            "out_of_range",
            f"is below {minimum:g}, the least it may be",
            np.flatnonzero(present)[low],
        )
    return column


def _to_labels(column: pa.Array, label: Label, *, refuse: bool = True) -> np.ndarray:
    present = np.asarray(column.is_valid())
    labels = np.full(len(column), MISSING, np.int8)
    if label.texts:
        accepted = pa.array([text.encode() for text in label.texts], pa.binary())
        labels[present] = pc.is_in(column.flatten(), accepted)
        return labels
    values = np.asarray(column.flatten())
    if refuse and not label.rules:
        wrong = (values != 0) & (values != 1)
        if wrong.any():
            raise BadValues(
                "wrong_label",
                "is no label: it must be 0 or 1; give `at_least` to make one from a number",
                np.flatnonzero(present)[wrong],
            )
    labels[present] = label.is_positive(values)
    return labels
