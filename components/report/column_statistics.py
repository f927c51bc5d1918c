"""Statistics of the log's columns, read without TensorFlow."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tensorflow_metadata.proto.v0 import statistics_pb2

from taskroute.components.measures.statistics_file import read_statistics
from taskroute.schemas.statistics_files import split_statistics


@dataclass(frozen=True)
class ColumnStatistics:
    """One column of the log in one split.

    Attributes:
        column: Name of the column.
        split: Name of the split.
        num_rows: Rows of the split.
        num_missing: Rows without a value.
        mean: Mean of a number column's values.
        num_distinct: Number of distinct texts.
    """

    column: str
    split: str
    num_rows: int
    num_missing: int
    mean: float | None = None
    num_distinct: int | None = None


def read_column_statistics(folder: Path, splits: Sequence[str]) -> tuple[ColumnStatistics, ...]:
    """Reads the statistics of splits, by column in the order of the log.

    Args:
        folder: Output of StatisticsGen.
        splits: Names of the splits; an empty one has no statistics and is passed over.
    """
    columns = []
    for split in splits:
        path = split_statistics(folder, split)
        if not path.is_file():
            continue
        for dataset in read_statistics(path).datasets:
            columns += [
                _column(feature, split, dataset.num_examples)
                for feature in dataset.features
                if feature.path.step
            ]
    order = {statistics.column: place for place, statistics in reversed(list(enumerate(columns)))}
    return tuple(sorted(columns, key=lambda statistics: order[statistics.column]))


def _column(
    feature: statistics_pb2.FeatureNameStatistics, split: str, num_rows: int
) -> ColumnStatistics:
    name = feature.path.step[0]
    if feature.WhichOneof("stats") == "string_stats":
        texts = feature.string_stats
        missing = num_rows - texts.common_stats.num_non_missing
        return ColumnStatistics(name, split, num_rows, missing, num_distinct=texts.unique)
    numbers = feature.num_stats
    return ColumnStatistics(
        name,
        split,
        num_rows,
        num_rows - numbers.common_stats.num_non_missing,
        mean=numbers.mean if numbers.common_stats.tot_num_values else None,
    )
