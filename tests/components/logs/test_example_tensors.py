"""Tensors of raw examples, by hand and against what TensorFlow parses."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from taskroute.components.logs.example_tensors import dense_columns, sparse_columns, tf_examples

ROWS = [
    {"user": [b"a"], "tags": ["ü".encode(), b"x"], "age": [1.5]},
    {"user": None, "tags": None, "age": None},
    {"user": [b"b"], "tags": [b"y"], "age": [0.0]},
]
TYPES = {"user": pa.binary(), "tags": pa.binary(), "age": pa.float32()}
DTYPES = {"user": tf.string, "tags": tf.string, "age": tf.float32}


@pytest.fixture
def batch():
    schema = pa.schema([(name, pa.list_(kind)) for name, kind in TYPES.items()])
    # A slice: neither offsets nor values of a batch begin at 0.
    return pa.RecordBatch.from_pylist([ROWS[0], *ROWS], schema).slice(1)


def test_sparse_columns_are_what_tensorflow_parses_of_the_tf_examples(batch):
    specs = {name: tf.SparseTensorSpec([None, None], dtype) for name, dtype in DTYPES.items()}
    parsed = tf.io.parse_example(
        tf_examples(batch), {name: tf.io.VarLenFeature(dtype) for name, dtype in DTYPES.items()}
    )
    for name, sparse in sparse_columns(batch, specs).items():
        for part in ("indices", "values", "dense_shape"):
            ours, expected = (getattr(side, part).numpy() for side in (sparse, parsed[name]))
            np.testing.assert_array_equal(ours, expected)


def test_dense_columns_hold_what_is_missing_as_empty_text_and_nan(batch):
    specs = {
        "user": tf.TensorSpec([None], tf.string),
        "tags": tf.TensorSpec([None, None], tf.string),
        "age": tf.TensorSpec([None], tf.float32),
        "gone": tf.TensorSpec([None], tf.float32),
        "gone_too": tf.TensorSpec([None, None], tf.string),
    }
    columns = dense_columns(batch, specs)
    assert columns["user"].numpy().tolist() == [b"a", b"", b"b"]
    assert columns["tags"].numpy().tolist() == [["ü".encode(), b"x"], [b"", b""], [b"y", b""]]
    np.testing.assert_array_equal(columns["age"], [1.5, np.nan, 0.0])
    assert np.isnan(columns["gone"]).all()
    assert columns["gone_too"].shape == (3, 0)


@pytest.mark.parametrize(
    ("column", "spec", "complaint"),
    [
        ("tags", tf.TensorSpec([None], tf.string), "column 'tags'.*several values a row"),
        ("age", tf.TensorSpec([None], tf.string), "column 'age'.*holds float values"),
        ("user", tf.TensorSpec([None], tf.float32), "column 'user'.*holds binary values"),
    ],
)
def test_a_column_that_the_signature_cannot_take_is_named(batch, column, spec, complaint):
    with pytest.raises(ValueError, match=complaint):
        dense_columns(batch, {column: spec})
