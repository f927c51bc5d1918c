"""Cells of histograms, few and chosen on the train split.

A distance between histograms is of the order of cells over rows by chance alone, so an id of a
million terms is counted by its most frequent ones and all others together.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import statistics_pb2

from taskroute.components.measures.statistics_file import read_statistics
from taskroute.schemas.change_record import Histogram

# Number of terms with a cell; all other terms share one.
_MOST_TERMS = 63

# Cells of binary tasks' predictions: steps of the logit, and the logit past which all share a cell.
_LOGIT_STEP, _LOGIT_LIMIT = 0.5, 10.0

# Cells of regression tasks' predictions: a cell spans a factor of 2 ** (1 / 4), for magnitudes
# between 2 ** -20 and 2 ** 20, on either side of 0.
_PER_OCTAVE, _OCTAVES = 4, 20


def read_histograms(statistics: Path, columns: set[str]) -> tuple[Histogram, ...]:
    """Histograms of columns, in the order of the statistics.

    Args:
        statistics: A file of StatisticsGen.
        columns: Names of the columns.
    """
    return tuple(
        make_histogram(feature)
        for dataset in read_statistics(statistics).datasets
        for feature in dataset.features
        if feature.path.step and feature.path.step[0] in columns
    )


def make_histogram(feature: statistics_pb2.FeatureNameStatistics) -> Histogram:
    """Chooses cells from TFDV's statistics of a column."""
    column = feature.path.step[0]
    if feature.WhichOneof("stats") == "string_stats":
        buckets = feature.string_stats.rank_histogram.buckets[:_MOST_TERMS]
        return Histogram(column=column, terms=tuple(bucket.label for bucket in buckets))
    quantiles = statistics_pb2.Histogram.QUANTILES
    inner = [
        bucket.high_value
        for histogram in feature.num_stats.histograms
        if histogram.type == quantiles
        for bucket in histogram.buckets[:-1]
    ]
    return Histogram(column=column, boundaries=tuple(np.unique(inner).tolist()))


def cells_of(histogram: Histogram, values: pa.Array) -> npt.NDArray[np.int64]:
    """(V,) cell of each value; values are binary or float32 (V,)."""
    if histogram.terms is None:
        return np.searchsorted(histogram.boundaries, np.asarray(values), side="right")
    terms = pa.array([term.encode() for term in histogram.terms], pa.binary())
    places = pc.index_in(values, value_set=terms)
    return np.asarray(pc.fill_null(places, len(terms))).astype(np.int64)


def prediction_cells(
    kind: str, predictions: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], int]:
    """(N,) cell of each prediction of a task, and the number of cells.

    Args:
        kind: `binary` or `regression`.
        predictions: (N,), finite.
    """
    if kind == "binary":
        with np.errstate(divide="ignore"):  # 0 and 1 go to the outermost cells
            logits = np.log(predictions) - np.log1p(-predictions)
        num_cells = int(2 * _LOGIT_LIMIT / _LOGIT_STEP)
        cells = np.clip((logits + _LOGIT_LIMIT) / _LOGIT_STEP, 0, num_cells - 1)
        return cells.astype(np.int64), num_cells
    most = _PER_OCTAVE * _OCTAVES
    size = np.maximum(np.abs(predictions), 2.0**-_OCTAVES)
    steps = np.clip(np.floor(_PER_OCTAVE * np.log2(size)) + most + 1, 1, 2 * most + 1)
    signs = np.sign(predictions)
    return (signs * steps).astype(np.int64) + 2 * most + 1, 4 * most + 3
