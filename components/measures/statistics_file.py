"""Statistics of columns as StatisticsGen writes them, read without TensorFlow."""

from pathlib import Path

from tensorflow_metadata.proto.v0 import statistics_pb2


def read_statistics(path: Path) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Reads a file of statistics."""
    return statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
