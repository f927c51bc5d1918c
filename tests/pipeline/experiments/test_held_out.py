import numpy as np
import pytest

from taskroute.components.measures.rows import TaskRows
from taskroute.pipeline.experiments.held_out import _counts


@pytest.mark.parametrize(("kind", "expected"), [("binary", [2, 1]), ("regression", [3])])
def test_rows_are_counted_and_not_their_weight(kind, expected):
    labels, weights = np.array([0.0, 1, 0, 1]), np.array([1.0, 100, 0.5, 0])
    rows = np.arange(4, dtype=np.uint64)
    predictions = np.full((1, 4), np.nan)
    task = TaskRows(kind, predictions, labels, weights, rows, rows, has_key=False)
    assert _counts(task).tolist() == expected
