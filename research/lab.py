"""Parts of benchmarks/ that research uses: options, trainings on a finished run, the report."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from harness import DEMO, REPOSITORY, in_turn, median_ms, median_ratio, options, report

__all__ = ["DEMO", "REPOSITORY", "in_turn", "median_ms", "median_ratio", "options", "report"]
