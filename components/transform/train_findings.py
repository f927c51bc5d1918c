"""Findings about the train split, from rows all over it, raw and transformed."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from taskroute.components.measures.dead_features import find_dead_features
from taskroute.components.measures.odd_numbers import find_odd_numbers
from taskroute.components.measures.single_column_auc import MOST_ROWS, find_leaks
from taskroute.components.transform.materialization import Shard
from taskroute.schemas.analysis import vocabulary_name, vocabulary_of
from taskroute.schemas.columns import raw_columns
from taskroute.schemas.findings import Findings
from taskroute.schemas.recommender import DataConfig

# Rows to look at: a tenth of all, so that the search costs little beside the stage's work, but not
# fewer than these, nor more than MOST_ROWS.
_LEAST_ROWS = 10_000

# A shard is read whole, so that its rows are from all over it.
_MOST_SHARDS = 8


def find_in_train(shards: Sequence[Shard], data: DataConfig, analysis: str) -> Findings:
    """Looks for leaks, dead features and odd numbers in the train split.

    Args:
        shards: Shards of the train split, transformed.
        data: Features and tasks.
        analysis: Folder of the vocabularies.
    """
    chosen = [shards[i] for i in _spread(len(shards), min(len(shards), _MOST_SHARDS))]
    num_rows, raw, transformed = 0, [], []
    for shard in chosen:
        rows = _read(shard.source, [column.name for column in raw_columns(data)])
        count = min(max(_LEAST_ROWS // len(chosen), rows.num_rows // 10), MOST_ROWS // len(chosen))
        places = pa.array(_spread(rows.num_rows, min(rows.num_rows, count)))
        num_rows += rows.num_rows
        raw.append(rows.take(places))
        transformed.append(_read(shard.target, None).take(places))
    if not num_rows:
        return Findings()
    num_terms = {
        feature.name: _num_lines(f"{analysis}/{vocabulary_name(feature.name)}")
        for feature in data.features
        if vocabulary_of(feature) is not None
    }
    examples = pa.concat_tables(raw, promote_options="default")
    results = pa.concat_tables(transformed)
    return Findings(
        findings=(
            *find_leaks(data, examples),
            *find_odd_numbers(data, examples),
            *find_dead_features(data, results, num_terms, num_rows * len(shards) // len(chosen)),
        )
    )


def _spread(number: int, count: int) -> np.ndarray:
    """Chooses `count` of the numbers from 0 to `number` - 1, evenly."""
    return np.linspace(0, max(number - 1, 0), count).astype(np.int64)


def _read(path: str, columns: list[str] | None) -> pa.Table:
    """Reads columns of a shard, those that it has."""
    with tf.io.gfile.GFile(path, "rb") as file:
        parquet = pq.ParquetFile(pa.BufferReader(file.read()))
    names = parquet.schema_arrow.names
    return parquet.read([name for name in columns if name in names] if columns else None)


def _num_lines(path: str) -> int:
    with tf.io.gfile.GFile(path, "rb") as file:
        return int(file.read().count(b"\n"))
