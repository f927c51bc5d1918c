"""AUC of the sample log's true probabilities, an upper bound for models."""

import numpy as np
import pyarrow as pa
from sklearn.metrics import roc_auc_score

from taskroute.pipeline.sample_log.sample_log import LONG_VIEW_SECONDS, SampleLog


def best_auc(log: SampleLog, task_name: str, rows: np.ndarray | None = None) -> float:
    """AUC of the true probabilities: no model can be expected to reach more.

    Args:
        log: Log from `make_sample_log`.
        task_name: Key of `log.true_probabilities`.
        rows: Row numbers or a mask over the table's rows; all rows by default. like, share and
            long_view count clicked rows only.

    Returns:
        The AUC; NaN if these rows have one class only.
    """
    labels = _labels(log.table, task_name)
    counted = np.zeros(len(labels), bool)
    counted[slice(None) if rows is None else rows] = True
    if task_name != "click":
        counted &= _labels(log.table, "click")
    labels = labels[counted]
    if labels.all() or not labels.any():
        return float("nan")
    return float(roc_auc_score(labels, log.true_probabilities[task_name][counted]))


def _labels(table: pa.Table, task_name: str) -> np.ndarray:
    if task_name == "long_view":
        return table["watch_seconds"].to_numpy() >= LONG_VIEW_SECONDS
    column = {"click": "clicked", "like": "liked", "share": "shared"}[task_name]
    return table[column].to_numpy() == 1
