"""Checks the labels of binary tasks while the log is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from taskroute.components.log_example_gen.conversions import BadValue
from taskroute.components.log_example_gen.log_reader import LogBatch
from taskroute.schemas.errors import DataError
from taskroute.schemas.tasks import Task

MISSING = -1


@dataclass(frozen=True)
class LabelCounts:
    """How many rows hold a label of 0, of 1, and none."""

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
    batch: LogBatch, converted: pa.RecordBatch, tasks: Sequence[Task]
) -> dict[str, np.ndarray]:
    """Labels by binary task: (N,) int8 of 0, 1 and MISSING.

    Args:
        batch: Where the rows come from.
        converted: Its columns as `batch.convert` makes them.
        tasks: Those that are not binary have no entry.

    Raises:
        DataError: At the first value that is neither 0 nor 1 where it must be.
    """
    labels = {}
    for task in binary_tasks(tasks):
        with batch.locate(task.label.column):
            labels[task.name] = _to_labels(converted[task.label.column], task.label.at_least)
    return labels


def binary_tasks(tasks: Sequence[Task]) -> list[Task]:
    """The tasks whose label is 0 or 1."""
    return [task for task in tasks if task.kind == "binary"]


def count_labels(labels: np.ndarray) -> LabelCounts:
    """Counts what `read_labels` gives for one task."""
    negatives, positives = np.count_nonzero(labels == 0), np.count_nonzero(labels == 1)
    return LabelCounts(int(negatives), int(positives), len(labels) - int(negatives + positives))


def check_both_classes(counts: Mapping[str, LabelCounts], rows: str = "train row") -> None:
    """Refuses a label that teaches nothing.

    Args:
        counts: By task.
        rows: What was counted, for the message.

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


def _to_labels(column: pa.Array, at_least: float | None) -> np.ndarray:
    present = np.asarray(column.is_valid())
    values = np.asarray(column.flatten())
    if at_least is None:
        wrong = (values != 0) & (values != 1)
        if wrong.any():
            place = int(wrong.argmax())
            raise BadValue(
                f"a label must be 0 or 1, not {values[place]:g}; give `at_least` to make one from "
                "a number",
                int(np.flatnonzero(present)[place]),
            )
        at_least = 1.0
    labels = np.full(len(column), MISSING, np.int8)
    labels[present] = values >= at_least
    return labels
