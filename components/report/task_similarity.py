"""Similarity of tasks by the sub-networks that they read."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from taskroute.schemas.training_record import RoutingTable


def task_similarity(
    matrices: Sequence[RoutingTable], tasks: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Similarities (T, T), from 0 where two tasks share nothing to 1 where they read the same.

    A task's weight on a sub-network is the sum, over the paths to it, of the products of their
    routes; the similarity of two tasks is the cosine of their weights, the mean over the layers.

    Args:
        matrices: Routing matrices, bottom up; the rows of the last are the tasks.
        tasks: Names of the tasks.
    """
    above: dict[str, npt.NDArray[np.float64]] = dict(zip(tasks, np.eye(len(tasks)), strict=True))
    cosines = []
    for matrix in reversed(matrices):
        # (upper, T): how much each task reads of each upper part, which may be a task itself.
        upper = np.stack([above[name] for name in matrix.upper])
        lower = np.abs(np.asarray(matrix.values, np.float64)).T @ upper
        above = {**above, **dict(zip(matrix.lower, lower, strict=True))}
        lengths = np.linalg.norm(lower, axis=0)
        units = lower / np.where(lengths > 0, lengths, 1.0)
        cosines.append(units.T @ units)
    return np.mean(cosines, axis=0)
