"""Reads Parquet files of transformed examples: whole columns, not rows, all the way to tensors.

Parsing tf.Examples took most of the input's time: columns are read at two to four times the rate
and take a third of the room (docs/LOG.md).
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

Spec: TypeAlias = Mapping[str, tf.io.FixedLenFeature | tf.io.RaggedFeature]

_READ_ROWS = 8192
_SHUFFLE_ROWS = 1 << 17
_OPEN_FILES = 8


def read_batches(
    files: Sequence[str], spec: Spec, *, batch_size: int, shuffle_seed: int | None = None
) -> tf.data.Dataset:
    """Batches of columns by key.

    Args:
        files: Parquet files, at least one.
        spec: Which columns: one value a row, or a list of them a row.
        batch_size: Rows in a batch; the last one may be smaller.
        shuffle_seed: Shuffles files, and rows among 131,072 of eight files, anew in each pass,
            repeatably; None keeps the order.

    Returns:
        A dataset of one pass. A list column is ragged, (B, values).
    """
    names = list(spec)
    is_list = [isinstance(spec[name], tf.io.RaggedFeature) for name in names]
    signature = []
    for name, has_splits in zip(names, is_list, strict=True):
        signature += [tf.TensorSpec([None], spec[name].dtype)]
        signature += [tf.TensorSpec([None], tf.int64)] if has_splits else []
    passes = iter(range(1 << 62))

    def arrays() -> Iterator[tuple[np.ndarray, ...]]:
        if shuffle_seed is None:
            tables = _in_turn(files, names, 1)
            batches = _cut(tables, batch_size)
        else:
            random = np.random.default_rng((shuffle_seed, next(passes)))
            shuffled = [files[index] for index in random.permutation(len(files))]
            tables = _shuffled(_in_turn(shuffled, names, _OPEN_FILES), random)
            batches = _cut(tables, batch_size)
        for batch in batches:
            yield tuple(array for column in batch.columns for array in _arrays(column))

    # Nothing in it is Python control flow, and looking for some takes seconds.
    @tf.autograph.experimental.do_not_convert
    def by_key(*flat: tf.Tensor) -> dict[str, tf.Tensor | tf.RaggedTensor]:
        tensors = iter(flat)
        return {
            name: tf.RaggedTensor.from_row_splits(next(tensors), next(tensors), validate=False)
            if has_splits
            else next(tensors)
            for name, has_splits in zip(names, is_list, strict=True)
        }

    read = tf.data.Dataset.from_generator(arrays, output_signature=tuple(signature))
    return read.map(by_key)


def _in_turn(files: Iterable[str], names: list[str], num_open: int) -> Iterator[pa.RecordBatch]:
    """Batches of all files, one from each of those that are open, in turn."""
    waiting = deque(files)
    open_files: deque[Iterator[pa.RecordBatch]] = deque()
    while waiting or open_files:
        while waiting and len(open_files) < num_open:
            open_files.append(_read(waiting.popleft(), names))
        batch = next(open_files[0], None)
        if batch is None:
            open_files.popleft()
        else:
            yield batch
            open_files.rotate(-1)


def _read(file: str, names: list[str]) -> Iterator[pa.RecordBatch]:
    # A shard is compressed and has a bounded number of rows, so its bytes fit; TensorFlow's file
    # systems then need not be Arrow's.
    with tf.io.gfile.GFile(file, "rb") as opened:
        content = pa.py_buffer(opened.read())
    yield from pq.ParquetFile(pa.BufferReader(content)).iter_batches(_READ_ROWS, columns=names)


def _shuffled(
    batches: Iterable[pa.RecordBatch], random: np.random.Generator
) -> Iterator[pa.RecordBatch]:
    """The rows of many batches at a time, in a random order."""
    pool: list[pa.RecordBatch] = []
    for batch in batches:
        pool.append(batch)
        if sum(map(len, pool)) >= _SHUFFLE_ROWS:
            yield _permuted(pool, random)
            pool = []
    if pool:
        yield _permuted(pool, random)


def _permuted(batches: list[pa.RecordBatch], random: np.random.Generator) -> pa.RecordBatch:
    rows = _joined(batches)
    return rows.take(pa.array(random.permutation(len(rows))))


def _cut(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of `size`, the last one of what is left."""
    rest: list[pa.RecordBatch] = []
    for batch in batches:
        rest.append(batch)
        rows = sum(map(len, rest))
        if rows < size:
            continue
        joined = _joined(rest)
        whole = rows - rows % size
        for start in range(0, whole, size):
            yield joined.slice(start, size)
        rest = [joined.slice(whole)] if whole < rows else []
    if rest:
        yield _joined(rest)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    return pa.RecordBatch.from_struct_array(
        pa.concat_arrays([batch.to_struct_array() for batch in batches])
    )


def _arrays(column: pa.Array) -> tuple[np.ndarray, ...]:
    """Values, and row splits where the column holds lists."""
    if not pa.types.is_list(column.type):
        return (column.to_numpy(),)
    splits = column.offsets.to_numpy().astype(np.int64)
    return column.flatten().to_numpy(), splits - splits[0]
