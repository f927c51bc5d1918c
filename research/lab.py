"""Parts that research scripts share: those of benchmarks/, and tables of means over seeds."""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from finished_run import Trained, finished_run, train
from harness import DEMO, REPOSITORY, in_turn, median_ms, median_ratio, options, report

import numpy as np

__all__ = [
    "DEMO",
    "REPOSITORY",
    "Trained",
    "finished_run",
    "in_turn",
    "mean_and_error",
    "median_ms",
    "median_ratio",
    "options",
    "report",
    "train",
]


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error, which is 0 for one value."""
    if len(values) < 2:
        return float(np.mean(values)), 0.0
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
