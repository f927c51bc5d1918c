"""Shards of one split, as a worker writes them."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskroute.components.log_example_gen import shards
from taskroute.components.log_example_gen.shards import ShardWriter


def _rows(*numbers) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array([[n] for n in numbers], pa.list_(pa.float32()))})


def _read(file) -> list[float]:
    return [n for (n,) in pq.read_table(file)["n"].to_pylist()]


@pytest.fixture
def writer(tmp_path):
    return ShardWriter(tmp_path, "train")


def test_a_shard_holds_its_rows_in_order(tmp_path, writer, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 3)
    for numbers in ((1, 2), (), (3,), (4,)):
        writer.write(_rows(*numbers))
    writer.close()
    assert [shard["rows"] for shard in writer.shards] == [3, 1]
    assert [_read(tmp_path / shard["file"]) for shard in writer.shards] == [[1, 2, 3], [4]]


def test_a_shard_of_wide_rows_ends_before_it_has_all_its_rows(tmp_path, writer, monkeypatch):
    monkeypatch.setattr(shards, "BYTES_PER_SHARD", 1)
    writer.write(_rows(1, 2))
    writer.write(_rows(3))
    writer.close()
    assert [shard["rows"] for shard in writer.shards] == [2, 1]


@pytest.mark.parametrize(
    ("limit", "value", "expected"),
    [("_ROWS_PER_GROUP", 2, [2, 2, 1]), ("_BYTES_PER_GROUP", 1, [1, 1, 1, 1, 1])],
)
def test_row_groups_are_bounded(tmp_path, writer, monkeypatch, limit, value, expected):
    monkeypatch.setattr(shards, limit, value)
    writer.write(_rows(1, 2, 3, 4, 5))
    writer.close()
    metadata = pq.read_metadata(tmp_path / writer.shards[0]["file"])
    groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert groups == expected


def test_small_batches_share_a_row_group(tmp_path, writer):
    for number in range(5):
        writer.write(_rows(number))
    writer.close()
    assert pq.read_metadata(tmp_path / writer.shards[0]["file"]).num_row_groups == 1


def test_the_same_rows_are_the_same_bytes(tmp_path, writer):
    for _ in range(2):
        writer.write(_rows(1, 2))
        writer.close()
    first, second = ((tmp_path / shard["file"]).read_bytes() for shard in writer.shards)
    assert first == second


def test_a_split_without_rows_has_no_shard(tmp_path, writer):
    writer.write(_rows())
    writer.close()
    assert writer.shards == []
    assert list(tmp_path.iterdir()) == []
