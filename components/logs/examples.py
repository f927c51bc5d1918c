"""Shards of raw examples: Parquet files with a list column for each column of the log.

A column is list<binary> or list<float32>; a missing value is null.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf

if TYPE_CHECKING:
    from tfx.types import Artifact

# Properties of raw examples, in JSON: columns that only the served version reads, and those of them
# without any value.
SERVED_COLUMNS, ABSENT_COLUMNS = "served_columns", "absent_columns"

BATCH_ROWS = 8192
# Rows times the longest list of a column: what the batch takes once its lists are padded.
_MOST_PADDED_VALUES = 1 << 20

_SPAN = re.compile(r"data-([\d-]+)_examples-")


def shard_name(index: int, count: int, span: str | None = None) -> str:
    """The name of one of `count` shards; they sort by span, oldest first.

    Args:
        index: From 0, over all spans.
        count: Shards of the split.
        span: A day, or a number; None where the log has no spans.
    """
    data = "data" if span is None else f"data-{span.zfill(10)}"
    return f"{data}_examples-{index:05d}-of-{count:05d}.parquet"


def span_of(path: str) -> str | None:
    """The span that a shard's rows are from, as it sorts; None where its name says none."""
    match = _SPAN.match(path.rpartition("/")[2])
    return match[1] if match else None


def columns_in(examples: "Artifact", name: str) -> tuple[str, ...]:
    """Columns that one of the two properties names."""
    value = examples.get_string_custom_property(name)
    return tuple(json.loads(value)) if value else ()


def read_batches(path: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Reads a shard in the order of the file.

    Args:
        path: A shard.
        columns: Names of the columns to read; None reads all.

    Yields:
        Batches of at most BATCH_ROWS rows, fewer where their lists are long.
    """
    # A shard is compressed and of bounded size; TensorFlow's file systems then need not be Arrow's.
    with tf.io.gfile.GFile(path, "rb") as file:
        content = pa.BufferReader(file.read())
    for batch in pq.ParquetFile(content).iter_batches(BATCH_ROWS, columns=columns):
        yield from _bounded(batch)


def lengths(lists: pa.Array) -> np.ndarray:
    """(N,) number of values of each list; a missing one has none."""
    return np.asarray(pc.fill_null(lists.value_lengths(), 0))


def _bounded(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Halves a batch until its padded lists are of bounded size."""
    longest = max((lengths(column).max(initial=0) for column in batch.columns), default=0)
    if batch.num_rows <= 1 or batch.num_rows * longest <= _MOST_PADDED_VALUES:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _bounded(batch.slice(0, half))
    yield from _bounded(batch.slice(half))
