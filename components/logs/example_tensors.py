"""Tensors of raw examples: what a transform graph and the signatures of a served model take."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx_bsl.public.tfxio import RecordBatchToExamplesEncoder

from taskroute.components.logs.examples import lengths

_ARROW_TYPES = {tf.string: pa.binary(), tf.float32: pa.float32()}


def sparse_columns(
    batch: pa.RecordBatch, specs: Mapping[str, tf.SparseTensorSpec]
) -> dict[str, tf.SparseTensor]:
    """Columns as a transform graph takes them.

    Args:
        batch: Raw examples.
        specs: The columns to take, which `batch` must have.

    Returns:
        Sparse tensors (B, values).
    """
    return {name: _sparse(batch[name], spec.dtype) for name, spec in specs.items()}


def dense_columns(
    batch: pa.RecordBatch,
    specs: Mapping[str, tf.TensorSpec],
    names: Mapping[str, str] | None = None,
) -> dict[str, tf.Tensor]:
    """Columns as a `raw_features` signature takes them.

    Args:
        batch: Raw examples. A column that it lacks is missing in every row.
        specs: Inputs of the signature: (B,) of at most one value a row, or (B, values).
        names: Columns by input, where they have another name.

    Returns:
        Tensors by input where "" and NaN are missing values.

    Raises:
        ValueError: If a column is of another type, or has several values a row where one is taken.
    """
    columns = {}
    for name, spec in specs.items():
        column = (names or {}).get(name, name)
        absent = pa.nulls(batch.num_rows, pa.list_(_ARROW_TYPES[spec.dtype]))
        try:
            columns[name] = _dense(batch[column] if column in batch.schema.names else absent, spec)
        except ValueError as error:
            raise ValueError(f"column '{column}' cannot be scored: {error}") from error
    return columns


def tf_examples(batch: pa.RecordBatch) -> tf.Tensor:
    """Rows as serialized tf.Examples, string (B,)."""
    serialized = RecordBatchToExamplesEncoder().encode(batch)
    return tf.constant(np.array(serialized, object), tf.string)


def _sparse(lists: pa.Array, dtype: tf.DType) -> tf.SparseTensor:
    counts = lengths(lists)
    rows = np.repeat(np.arange(len(lists)), counts)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    indices = np.stack([rows, places], axis=1)
    return tf.SparseTensor(indices, _values(lists, dtype), [len(lists), counts.max(initial=0)])


def _dense(lists: pa.Array, spec: tf.TensorSpec) -> tf.Tensor:
    values, counts = _values(lists, spec.dtype), lengths(lists)
    missing = "" if spec.dtype == tf.string else float("nan")
    if spec.shape.rank == 2:
        return tf.RaggedTensor.from_row_lengths(values, counts, validate=False).to_tensor(missing)
    if counts.max(initial=0) > 1:
        raise ValueError("it has several values a row, and the model takes one")
    filled = np.full(len(lists), missing, spec.dtype.as_numpy_dtype)
    filled[counts == 1] = values
    return tf.constant(filled, spec.dtype)


def _values(lists: pa.Array, dtype: tf.DType) -> np.ndarray:
    """The values of all lists, one after the other."""
    values = lists.flatten()
    if values.type != _ARROW_TYPES[dtype]:
        raise ValueError(f"it holds {values.type} values, and {dtype.name} is taken")
    array: np.ndarray = values.to_numpy(zero_copy_only=False)
    return array
