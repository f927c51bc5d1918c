"""The AUC of the sample log's true probabilities, which no model can be expected to pass."""

import numpy as np
import pyarrow as pa

from taskroute.pipeline.sample_log.sample_log import LONG_VIEW_SECONDS, SampleLog


def best_auc(log: SampleLog, task_name: str, rows: np.ndarray | None = None) -> float:
    """AUC of the true probabilities: no model can be expected to reach more.

    Args:
        log: What `make_sample_log` returned.
        task_name: A key of `log.true_probabilities`.
        rows: Row numbers or a mask over the table's rows; all rows by default. like, share and
            long_view count clicked rows only.

    Returns:
        The AUC; NaN where these rows have one class only.
    """
    labels = _labels(log.table, task_name)
    counted = np.zeros(len(labels), bool)
    counted[slice(None) if rows is None else rows] = True
    if task_name != "click":
        counted &= _labels(log.table, "click")
    return _auc(labels[counted], log.true_probabilities[task_name][counted])


def _labels(table: pa.Table, task_name: str) -> np.ndarray:
    if task_name == "long_view":
        return table["watch_seconds"].to_numpy() >= LONG_VIEW_SECONDS
    column = {"click": "clicked", "like": "liked", "share": "shared"}[task_name]
    return table[column].to_numpy() == 1


def _auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Share of (positive, negative) pairs in the right order; a tie is half a pair."""
    num_positives = np.count_nonzero(labels)
    num_negatives = len(labels) - num_positives
    if num_positives == 0 or num_negatives == 0:
        return float("nan")
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = mean_ranks[group[labels]].sum()
    wins = rank_sum - num_positives * (num_positives + 1) / 2
    return float(wins / (num_positives * num_negatives))
