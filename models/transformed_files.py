"""Reader of transformed examples: from columns of Parquet files to batches of tensors.

Columns are read at two to four times the rate of tf.Examples and take a third of the space
(docs/LOG.md). Python reads the rows of many batches at once, and TensorFlow cuts them: Python work
for each batch would slow the training step beside it.

Shape letters: F features of one type, R rows.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

Spec: TypeAlias = Mapping[str, tf.io.FixedLenFeature | tf.io.RaggedFeature]
# From a column, its int64 ids and a generator to the ids that take their place.
ChangeIds: TypeAlias = Callable[[str, np.ndarray, np.random.Generator], np.ndarray]

_READ_ROWS = 8192
_SHUFFLE_ROWS = 1 << 17
_OPEN_FILES = 8


def read_batches(
    files: Sequence[str],
    spec: Spec,
    *,
    batch_size: int,
    shuffle_seed: int | None = None,
    change_ids: ChangeIds | None = None,
) -> tf.data.Dataset:
    """Makes batches of columns by key.

    Args:
        files: Parquet files, at least one.
        spec: Columns to read: one value a row, int64 or float32, or a list of int64 a row.
        batch_size: Rows in a batch; the last one may be smaller.
        shuffle_seed: Shuffles files, and rows among 131,072 of eight files, anew in each pass,
            repeatably; None keeps the order.
        change_ids: Changes the ids of many rows at a time, anew in each pass, repeatably.

    Returns:
        A dataset of one pass. A list column is ragged, (B, values).
    """
    lists = [name for name, kind in spec.items() if isinstance(kind, tf.io.RaggedFeature)]
    id_names, number_names = (
        [name for name, kind in spec.items() if name not in lists and kind.dtype == dtype]
        for dtype in (tf.int64, tf.float32)
    )
    names = [*id_names, *number_names, *lists]
    passes = iter(range(1 << 62))

    def arrays() -> Iterator[tuple[np.ndarray, ...]]:
        seed = (shuffle_seed or 0, next(passes))
        if shuffle_seed is None:
            batches = _in_turn(files, names, 1)
        else:
            random = np.random.default_rng(seed)
            shuffled = [files[index] for index in random.permutation(len(files))]
            batches = _shuffled(_in_turn(shuffled, names, _OPEN_FILES), random)
        change_random = np.random.default_rng((*seed, 1))
        for rows in _in_whole_batches(batches, batch_size):
            ids = _stacked(rows, id_names, np.int64)
            ragged = [array for name in lists for array in _ragged(rows.column(name))]
            if change_ids is not None:
                for place, name in enumerate(id_names):
                    ids[place] = change_ids(name, ids[place], change_random)
                for place, name in enumerate(lists):
                    ragged[2 * place] = change_ids(name, ragged[2 * place], change_random)
            yield (ids, _stacked(rows, number_names, np.float32), *ragged)

    # There is no Python control flow to convert, and looking for some takes seconds.
    @tf.autograph.experimental.do_not_convert
    def cut(ids: tf.Tensor, numbers: tf.Tensor, *ragged: tf.Tensor) -> tf.data.Dataset:
        num_rows = tf.shape(ids, tf.int64)[1]

        @tf.autograph.experimental.do_not_convert
        def batch(start: tf.Tensor) -> dict[str, tf.Tensor | tf.RaggedTensor]:
            stop = tf.minimum(start + batch_size, num_rows)
            columns = _by_name(id_names, ids[:, start:stop])
            columns |= _by_name(number_names, numbers[:, start:stop])
            for name, values, splits in zip(lists, ragged[::2], ragged[1::2], strict=True):
                own = splits[start : stop + 1]
                columns[name] = tf.RaggedTensor.from_row_splits(
                    values[own[0] : own[-1]], own - own[0], validate=False
                )
            return columns

        return tf.data.Dataset.range(0, num_rows, batch_size).map(batch)

    signature = (
        tf.TensorSpec([len(id_names), None], tf.int64),
        tf.TensorSpec([len(number_names), None], tf.float32),
        *(tf.TensorSpec([None], tf.int64) for _ in lists for _ in ("values", "splits")),
    )
    read = tf.data.Dataset.from_generator(arrays, output_signature=signature)
    return read.prefetch(1).flat_map(cut)


def _by_name(names: Sequence[str], columns: tf.Tensor) -> dict[str, Any]:
    """Splits (F, R) into columns by name."""
    return dict(zip(names, tf.unstack(columns, len(names)), strict=True))


def _in_turn(files: Iterable[str], names: list[str], num_open: int) -> Iterator[pa.RecordBatch]:
    """Yields batches of all files, one from each open file in turn."""
    waiting = deque(files)
    open_files: deque[Iterator[pa.RecordBatch]] = deque()
    while waiting or open_files:
        while waiting and len(open_files) < num_open:
            open_files.append(read_file(waiting.popleft(), names))
        batch = next(open_files[0], None)
        if batch is None:
            open_files.popleft()
        else:
            yield batch
            open_files.rotate(-1)


def read_file(file: str, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Columns of a Parquet file, in batches of 8,192 rows."""
    # A shard is compressed and has a bounded number of rows, so its bytes fit; TensorFlow's file
    # systems then need not be Arrow's.
    with tf.io.gfile.GFile(file, "rb") as opened:
        content = pa.py_buffer(opened.read())
    yield from pq.ParquetFile(pa.BufferReader(content)).iter_batches(_READ_ROWS, columns=names)


def _shuffled(
    batches: Iterable[pa.RecordBatch], random: np.random.Generator
) -> Iterator[pa.RecordBatch]:
    """Shuffles the rows of many batches at a time."""
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


def _in_whole_batches(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """Regroups rows into parts of a multiple of `size`; the last one also holds the rest."""
    rest: list[pa.RecordBatch] = []
    for batch in batches:
        rest.append(batch)
        rows = sum(map(len, rest))
        whole = rows - rows % size
        if whole:
            joined = _joined(rest)
            yield joined.slice(0, whole)
            rest = [joined.slice(whole)] if whole < rows else []
    if rest:
        yield _joined(rest)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    return pa.RecordBatch.from_struct_array(
        pa.concat_arrays([batch.to_struct_array() for batch in batches])
    )


def _stacked(rows: pa.RecordBatch, names: Sequence[str], dtype: type) -> np.ndarray:
    """Stacks columns: (F, R)."""
    stacked: np.ndarray = np.empty((len(names), len(rows)), dtype)
    for place, name in enumerate(names):
        stacked[place] = rows.column(name).to_numpy()
    return stacked


def _ragged(column: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """Values and row splits of a list column."""
    splits = column.offsets.to_numpy().astype(np.int64)
    return column.flatten().to_numpy(), splits - splits[0]
