"""Shards are named so that they sort by span."""

from taskroute.components.example_files.shard_names import shard_name, span_of


def test_a_shard_without_a_span_is_named_as_tfx_names_it():
    assert shard_name(3, 12) == "data_tfrecord-00003-of-00012.gz"
    assert span_of("/somewhere/Split-train/data_tfrecord-00003-of-00012.gz") is None


def test_a_shard_says_its_day():
    name = shard_name(0, 2, "2026-01-31")
    assert name == "data-2026-01-31_tfrecord-00000-of-00002.gz"
    assert span_of(f"gs://bucket/Split-train/{name}") == "2026-01-31"


def test_numbered_spans_sort_as_numbers_do():
    names = [shard_name(index, 3, span) for index, span in enumerate(("9", "10", "100"))]
    assert names == sorted(names)
    assert [int(span_of(name)) for name in names] == [9, 10, 100]
