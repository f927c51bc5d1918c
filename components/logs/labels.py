"""Checks the labels while the log is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from taskroute.components.logs.bad_rows import BadValues
from taskroute.components.logs.log_batch import RowCheck
from taskroute.schemas.errors import DataError
from taskroute.schemas.tasks import Label, Task

MISSING = -1


@dataclass(frozen=True)
class LabelCounts:
    """Numbers of rows with a label of 0, of 1, and none."""

    negatives: int = 0
    positives: int = 0
    missing: int = 0

    def __add__(self, other: "LabelCounts") -> "LabelCounts":
        return LabelCounts(
            self.negatives + other.negatives,
            self.positives + other.positives,
            self.missing + other.missing,
        )


def read_labels(
    check: RowCheck, converted: pa.RecordBatch, tasks: Sequence[Task]
) -> dict[str, np.ndarray]:
    """Labels by binary task: (N,) int8 of 0, 1 and MISSING.

    Rows with a label that is neither 0 nor 1 where it must be, or below its minimum, or with a
    negative weight, are noted as bad.

    Args:
        check: Rows that are read.
        converted: Their columns as `check.convert` makes them.
        tasks: Tasks; only binary ones get an entry.
    """
    for column, minimum in _minima(tasks).items():
        check.read(column, partial(_refuse_below, minimum=minimum), converted[column])
    return {
        task.name: check.read(
            task.label.column,
            partial(_to_labels, label=task.label),
            converted[task.label.column],
        )
        for task in binary_tasks(tasks)
    }


def binary_tasks(tasks: Sequence[Task]) -> list[Task]:
    """Tasks whose label is 0 or 1."""
    return [task for task in tasks if task.kind == "binary"]


def count_labels(labels: np.ndarray) -> LabelCounts:
    """Counts the labels of one task, as `read_labels` gives them."""
    negatives, positives = np.count_nonzero(labels == 0), np.count_nonzero(labels == 1)
    return LabelCounts(int(negatives), int(positives), len(labels) - int(negatives + positives))


def check_both_classes(counts: Mapping[str, LabelCounts], rows: str = "train row") -> None:
    """Refuses a label that teaches nothing.

    Args:
        counts: Label counts by task.
        rows: Name of the counted rows, for the message.

    Raises:
        DataError: If a task has no 0, no 1, or no label at all.
    """
    for name, count in counts.items():
        if count.negatives and count.positives:
            continue
        if count.negatives or count.positives:
            only = f"is {0 if count.negatives else 1}"
        else:
            only = "is missing"
        raise DataError(
            f"task '{name}': the label {only} in every {rows}; a binary task needs rows of both "
            "classes: check its column and `at_least`"
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


def _to_labels(column: pa.Array, label: Label) -> np.ndarray:
    present = np.asarray(column.is_valid())
    values = np.asarray(column.flatten())
    if label.at_least is None:
        wrong = (values != 0) & (values != 1)
        if wrong.any():
            raise BadValues(
                "wrong_label",
                "is no label: it must be 0 or 1; give `at_least` to make one from a number",
                np.flatnonzero(present)[wrong],
            )
    labels = np.full(len(column), MISSING, np.int8)
    labels[present] = label.is_positive(values)
    return labels
