"""Shards of raw examples come back as the batches they were made from, and say their span."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskroute.components.logs import examples
from taskroute.components.logs.examples import read_batches, shard_name, span_of

TYPES = {"user": pa.binary(), "tags": pa.binary(), "age": pa.float32()}
ROWS = [
    {"user": [b"u1"], "tags": ["ü".encode(), b"", b"a\nb"], "age": [1.5]},
    {"user": None, "tags": [b"\xff\x00"], "age": None},
    {"user": [b""], "tags": None, "age": [-0.0]},
    {"user": None, "tags": None, "age": None},
    {"user": [b"u" * 5000], "tags": [b"x", b"x"], "age": [2.0**127]},
]


@pytest.fixture
def shard(tmp_path):
    def write(rows):
        schema = pa.schema([(name, pa.list_(kind)) for name, kind in TYPES.items()])
        pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "shard.parquet")
        return str(tmp_path / "shard.parquet")

    return write


def test_every_value_comes_back_in_order(shard):
    (batch,) = read_batches(shard(ROWS))
    assert batch.to_pylist() == ROWS
    assert [kind.value_type for kind in batch.schema.types] == list(TYPES.values())


def test_a_shard_is_read_batch_by_batch(shard, monkeypatch):
    monkeypatch.setattr(examples, "BATCH_ROWS", 2)
    batches = list(read_batches(shard(ROWS)))
    assert [batch.num_rows for batch in batches] == [2, 2, 1]
    assert [row for batch in batches for row in batch.to_pylist()] == ROWS


def test_only_the_asked_columns_are_read(shard):
    (batch,) = read_batches(shard(ROWS), ["age"])
    assert batch.schema.names == ["age"]


def test_an_empty_shard_has_no_batch(shard):
    assert list(read_batches(shard([]))) == []


def test_long_lists_make_small_batches(shard, monkeypatch):
    monkeypatch.setattr(examples, "_MOST_PADDED_VALUES", 64)
    rows = [{"user": [b"u"], "tags": [b"t"] * (40 if row == 3 else 2), "age": [float(row)]}
            for row in range(100)]  # fmt: skip
    batches = list(read_batches(shard(rows)))
    assert [row for batch in batches for row in batch.to_pylist()] == rows
    padded = [
        len(batch) * max(len(tags) for tags in batch["tags"].to_pylist()) for batch in batches
    ]
    assert max(padded) <= 64
    # Only the neighbours of the long list are cut as small as it needs.
    assert list(map(len, batches)) == [3, 1, 2, 6, 13, 25, 25, 25]


def test_a_row_that_is_too_long_alone_is_a_batch(shard, monkeypatch):
    monkeypatch.setattr(examples, "_MOST_PADDED_VALUES", 1)
    assert [batch.to_pylist() for batch in read_batches(shard(ROWS[:2]))] == [[r] for r in ROWS[:2]]


def test_a_shard_without_a_span_names_none():
    assert shard_name(3, 12) == "data_examples-00003-of-00012.parquet"
    assert span_of("/somewhere/Split-train/data_examples-00003-of-00012.parquet") is None


def test_a_shard_says_its_day():
    name = shard_name(0, 2, "2026-01-31")
    assert name == "data-2026-01-31_examples-00000-of-00002.parquet"
    assert span_of(f"gs://bucket/Split-train/{name}") == "2026-01-31"


def test_numbered_spans_sort_as_numbers_do():
    names = [shard_name(index, 3, span) for index, span in enumerate(("9", "10", "100"))]
    assert names == sorted(names)
    assert [int(span_of(name)) for name in names] == [9, 10, 100]
