"""TFRecord frames and shards, against TensorFlow's reader and writer."""

import gzip
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from taskroute.components.example_files.tfrecords import frame
from taskroute.components.log_example_gen import shards
from taskroute.components.log_example_gen.shards import ShardWriter


def _records(values) -> pa.Array:
    return pa.array(values, pa.large_binary())


def _by_tensorflow(path, values) -> bytes:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for value in values:
            writer.write(value)
    return path.read_bytes()


def test_frames_are_tensorflows_bytes(tmp_path):
    values = [b"", b"a", b"\x00" * 9, b"long" * 10_000, bytes(range(256)), b"a"]
    assert bytes(frame(_records(values))) == _by_tensorflow(tmp_path / "x", values)
    assert bytes(frame(_records(values).slice(2, 3))) == _by_tensorflow(tmp_path / "y", values[2:5])


def test_no_records_are_no_bytes():
    assert bytes(frame(_records([]))) == b""


@settings(deadline=None)  # TensorFlow starts in the first call
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_tensorflow_reads_what_was_framed(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("records") / "x"
    path.write_bytes(bytes(frame(_records(values))))
    assert list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()) == values


@pytest.fixture
def writer(tmp_path):
    with ThreadPoolExecutor(1) as thread:
        yield ShardWriter(tmp_path, "train", thread)


def test_a_shard_holds_its_rows_in_order(tmp_path, writer, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 3)
    for values in ([b"a", b"b"], [], [b"c"], [b"d"]):
        writer.write(_records(values))
    writer.close()
    assert [shard["rows"] for shard in writer.shards] == [3, 1]
    read = [
        list(tf.data.TFRecordDataset(str(tmp_path / shard["file"]), "GZIP").as_numpy_iterator())
        for shard in writer.shards
    ]
    assert read == [[b"a", b"b", b"c"], [b"d"]]


def test_a_shard_has_no_time_in_it(tmp_path, writer):
    writer.write(_records([b"a"]))
    writer.close()
    with gzip.open(tmp_path / writer.shards[0]["file"]) as file:
        file.read()
        assert file.mtime == 0


def test_what_goes_wrong_beside_is_raised(tmp_path, writer, monkeypatch):
    monkeypatch.setattr(shards.tfrecords, "frame", lambda _: 1 / 0)
    writer.write(_records([b"a"]))
    with pytest.raises(ZeroDivisionError):
        writer.close()


def test_a_split_without_rows_has_no_shard(tmp_path, writer):
    writer.write(_records([]))
    writer.close()
    assert writer.shards == []
    assert list(tmp_path.iterdir()) == []
