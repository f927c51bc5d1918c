"""Where StatisticsGen leaves the statistics of each split and span."""

from pathlib import Path

# A DatasetFeatureStatisticsList of TFDV, in the folder of its split or span.
STATISTICS_FILE = "FeatureStats.pb"


def split_statistics(folder: str | Path, split: str) -> Path:
    """The file of a split's statistics in the artifact's folder."""
    return Path(folder, f"Split-{split}", STATISTICS_FILE)
