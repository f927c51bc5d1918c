"""Serialized tf.Examples, against protobuf's own."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from taskroute.components.example_files import encoder
from taskroute.components.example_files.encoder import encode


def _feature(values) -> tf.train.Feature:
    if not values:
        return tf.train.Feature()
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _by_protobuf(row) -> bytes:
    features = tf.train.Features(feature={name: _feature(row[name]) for name in row})
    return tf.train.Example(features=features).SerializeToString(deterministic=True)


def _batch(**columns) -> pa.RecordBatch:
    kinds = {"t": pa.list_(pa.binary()), "n": pa.list_(pa.float32())}
    return pa.record_batch({name: pa.array(v, kinds[name[0]]) for name, v in columns.items()})


def _assert_encoded(batch: pa.RecordBatch) -> None:
    assert encode(batch).to_pylist() == [_by_protobuf(row) for row in batch.to_pylist()]


def test_texts_and_numbers_are_protobufs_bytes():
    _assert_encoded(
        _batch(
            t_one=[[b"a"], [b""], None, ["é".encode()]],
            n_one=[[0.0], None, [-1.5], [np.pi]],
            t_many=[[b"a", b"", b"long" * 100], None, [b"c"], [b"d"] * 200],
            n_many=[[1.0, 2.0], [3.0], None, [4.0] * 100],
        )
    )


@pytest.mark.parametrize("size", [125, 126, 127, 128, 129, 16_383, 16_384, 2_100_000])
def test_lengths_of_every_number_of_bytes(size):
    _assert_encoded(_batch(t=[[b"x" * size], None], n=[None, [1.0] * (size // 4)]))


def test_features_are_sorted_by_name():
    first = encode(_batch(t_b=[[b"x"]], n_a=[[1.0]], t_a=[[b"y"]]))
    assert first == encode(_batch(t_a=[[b"y"]], t_b=[[b"x"]], n_a=[[1.0]]))


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_rows_are_encoded_alike_in_any_number(monkeypatch, at_once):
    monkeypatch.setattr(encoder, "_ROWS_AT_ONCE", at_once)
    batch = _batch(t=[[b"a"], None, [b"b", b"c"], [b"d"]], n=[None, [0.0], [1.0], None])
    _assert_encoded(batch)
    _assert_encoded(batch.slice(1, 2))


def test_a_column_without_any_value_is_missing_everywhere():
    _assert_encoded(_batch(t=[None, None], n=[None, None]))
    assert len(encode(_batch(t=[], n=[]))) == 0


@given(
    st.lists(
        st.tuples(
            st.none() | st.lists(st.binary(max_size=200), min_size=1),
            st.none() | st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40),
        )
    )
)
def test_any_rows_are_protobufs_bytes(rows):
    _assert_encoded(_batch(t=[row[0] for row in rows], n=[row[1] for row in rows]))
