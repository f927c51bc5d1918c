"""Scored rows of one task, from which statistics are made."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from taskroute.components.logs.hashes import mix
from taskroute.components.measures.jackknife import NUM_GROUPS

Kind = Literal["binary", "regression"]
Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class TaskRows:
    """N rows of one task, scored by M models: the candidate first, then the baseline if any.

    Attributes:
        kind: The task's kind.
        predictions: float64 (M, N).
        labels: float64 (N,), in the units of the label's column.
        weights: float64 (N,); 0 leaves a row out.
        rows: uint64 (N,), hash of each row.
        units: uint64 (N,), hash of the independent unit: a user, or the row.
        has_key: Whether a group key names the units; GAUC needs one.
        keyed: bool (N,), whether the row has a value of the group key: a row without one is a unit
            of its own, and no part of GAUC; None where every row has one.
    """

    kind: Kind
    predictions: Floats
    labels: Floats
    weights: Floats
    rows: Hashes
    units: Hashes
    has_key: bool
    keyed: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        shape = self.labels.shape
        columns = (self.weights, self.rows, self.units)
        shapes = [column.shape for column in columns]
        if self.keyed is not None:
            shapes.append(self.keyed.shape)
        if self.predictions.shape[1:] != shape or any(one != shape for one in shapes):
            raise ValueError(
                "predictions must be (M, N) and the other columns (N,). Received: shapes "
                f"{self.predictions.shape}, {shape} and {shapes}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: slice | npt.NDArray[np.generic]) -> "TaskRows":
        return TaskRows(
            self.kind,
            self.predictions[:, chosen],
            self.labels[chosen],
            self.weights[chosen],
            self.rows[chosen],
            self.units[chosen],
            self.has_key,
            None if self.keyed is None else self.keyed[chosen],
        )

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """(N,), jackknife group of each row."""
        return (self.units % np.uint64(NUM_GROUPS)).astype(np.int64)

    def check(self) -> None:
        """Refuses labels and weights that cannot be measured.

        Raises:
            ValueError: If a weight is negative or not finite, or a label that counts is not finite,
                or neither 0 nor 1 in a binary task.
        """
        wrong = self.weights[~(np.isfinite(self.weights) & (self.weights >= 0))]
        if wrong.size:
            raise ValueError(f"a weight must be finite and >= 0. Received: {wrong[0]}")
        labels = self.labels[self.weights > 0]
        if self.kind == "binary":
            wrong, rule = labels[(labels != 0) & (labels != 1)], "must be 0 or 1"
        else:
            wrong, rule = labels[~np.isfinite(labels)], "must be finite"
        if wrong.size:
            raise ValueError(f"a label {rule}. Received: {wrong[0]}")


def make_rows(
    kind: Kind,
    predictions: npt.ArrayLike,
    labels: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    rows: npt.ArrayLike | None = None,
    units: npt.ArrayLike | None = None,
) -> TaskRows:
    """Makes checked rows; a row is its own unit where `units` is not given.

    Args:
        kind: The task's kind.
        predictions: (N,) of one model or (M, N).
        labels: (N,).
        weights: (N,), 1 by default.
        rows: (N,) hashes; hashes of the numbers 0 to N - 1 by default.
        units: (N,) hashes of the group key.

    Raises:
        ValueError: If the shapes differ or a label or weight cannot be measured.
    """
    labels = np.asarray(labels, np.float64)
    hashes = row_hashes(0, 0, len(labels)) if rows is None else np.asarray(rows, np.uint64)
    result = TaskRows(
        kind=kind,
        predictions=np.atleast_2d(np.asarray(predictions, np.float64)),
        labels=labels,
        weights=np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64),
        rows=hashes,
        units=hashes if units is None else np.asarray(units, np.uint64),
        has_key=units is not None,
    )
    result.check()
    return result


def row_hashes(file: int, start: int, count: int) -> Hashes:
    """uint64 (count,): hashes of rows `start` to `start + count` of file number `file`.

    A hash depends on a row's place and not on its content, or equal rows would count as one.
    """
    return mix(np.uint64((file << 40) + start) + np.arange(count, dtype=np.uint64))
