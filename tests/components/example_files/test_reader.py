"""Shards of tf.Examples come back as the batches they were made from."""

import pyarrow as pa
import pytest
import tensorflow as tf

from taskroute.components.example_files import reader
from taskroute.components.example_files.encoder import encode
from taskroute.schemas.columns import RawColumn

COLUMNS = (RawColumn("user", "text"), RawColumn("tags", "texts"), RawColumn("age", "number"))
TYPES = {"user": pa.binary(), "tags": pa.binary(), "age": pa.float32()}
ROWS = [
    {"user": [b"u1"], "tags": ["ü".encode(), b"", b"a\nb"], "age": [1.5]},
    {"user": None, "tags": [b"\xff\x00"], "age": None},
    {"user": [b""], "tags": None, "age": [-0.0]},
    {"user": None, "tags": None, "age": None},
    {"user": [b"u" * 5000], "tags": [b"x", b"x"], "age": [2.0**127]},
]


def write(path, rows):
    columns = {n: pa.array([row[n] for row in rows], pa.list_(kind)) for n, kind in TYPES.items()}
    with tf.io.TFRecordWriter(str(path), "GZIP" if path.suffix == ".gz" else "") as writer:
        for example in encode(pa.record_batch(columns)).to_pylist():
            writer.write(example)
    return str(path)


def read(path, columns=COLUMNS):
    return list(reader.read_batches(path, columns))


@pytest.mark.parametrize("name", ["shard.gz", "shard"])
def test_every_value_comes_back_in_order(tmp_path, name):
    (batch,) = read(write(tmp_path / name, ROWS))
    assert batch.to_pylist() == ROWS
    assert batch.schema.types == [pa.list_(TYPES[name]) for name in batch.schema.names]


def test_a_shard_is_read_batch_by_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "BATCH_ROWS", 2)
    batches = read(write(tmp_path / "shard.gz", ROWS))
    assert [batch.num_rows for batch in batches] == [2, 2, 1]
    assert [row for batch in batches for row in batch.to_pylist()] == ROWS


def test_only_the_asked_columns_are_read(tmp_path):
    (batch,) = read(write(tmp_path / "shard.gz", ROWS), COLUMNS[2:])
    assert batch.schema.names == ["age"]


def test_a_column_that_no_example_has_is_missing(tmp_path):
    (batch,) = read(write(tmp_path / "shard.gz", ROWS), [RawColumn("other", "text")])
    assert batch["other"].to_pylist() == [None] * len(ROWS)


def test_an_empty_shard_has_no_batch(tmp_path):
    assert read(write(tmp_path / "shard.gz", [])) == []
