"""Whole numbers in tf.Examples, against protobuf."""

import numpy as np
import pyarrow as pa
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from taskroute.components.example_files.encoder import encode
from taskroute.components.example_files.varints import varints


def by_protobuf(rows):
    examples = []
    for row in rows:
        example = tf.train.Example()
        feature = example.features.feature["ids"]
        if row:
            feature.int64_list.value.extend(row)
        examples.append(example.SerializeToString(deterministic=True))
    return examples


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4), min_size=1, max_size=9))
def test_rows_of_whole_numbers_are_encoded_as_protobuf_does(rows):
    batch = pa.record_batch({"ids": pa.array(rows, pa.list_(pa.int64()))})
    assert encode(batch).to_pylist() == by_protobuf(rows)


def test_a_number_takes_a_byte_for_each_seven_bits():
    values = np.array([0, 1, 127, 128, 2**14 - 1, 2**14, 2**63 - 1, -1])
    offsets, content = varints(values)
    assert np.diff(offsets).tolist() == [1, 1, 1, 2, 2, 3, 9, 10]
    assert content[offsets[3] : offsets[4]].tolist() == [0x80, 0x01]


def test_no_numbers_are_no_bytes():
    offsets, content = varints(np.empty(0, np.int64))
    assert offsets.tolist() == [0]
    assert len(content) == 0
