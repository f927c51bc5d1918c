"""Split of a row."""

import numpy as np
import pyarrow as pa
import pytest

from taskroute.components.logs.hashes import hash_texts
from taskroute.components.logs.splits import (
    Cutoffs,
    find_cutoffs,
    merge_counts,
    split_by_hash,
    split_by_time,
)


class TestHash:
    def test_fractions_are_met(self):
        hashes = hash_texts(pa.array([f"user_{index}" for index in range(20_000)]))
        splits = split_by_hash(hashes, validation=0.2, test=0.1)
        assert np.bincount(splits) / 20_000 == pytest.approx([0.7, 0.2, 0.1], abs=0.01)

    def test_without_a_test_fraction_no_row_is_test(self):
        hashes = np.array([0, 2**62, 2**64 - 1], np.uint64)
        assert split_by_hash(hashes, validation=0.3, test=0.0).tolist() == [1, 1, 0]

    def test_the_first_part_of_the_range_is_test(self):
        hashes = np.array([0, 2**62, 2**63, 2**64 - 1], np.uint64)
        assert split_by_hash(hashes, validation=0.25, test=0.25).tolist() == [2, 1, 0, 0]


class TestTime:
    def test_the_newest_rows_are_test(self):
        seconds = np.arange(100)
        cutoffs = find_cutoffs(seconds, np.ones(100, int), validation=0.2, test=0.1)
        assert cutoffs == Cutoffs(validation=70, test=90)
        splits = split_by_time(seconds, cutoffs)
        assert splits.tolist() == [0] * 70 + [1] * 20 + [2] * 10

    def test_rows_count_and_not_seconds(self):
        counts = np.array([10, 10, 70, 5, 5])
        assert find_cutoffs(np.arange(5), counts, 0.05, 0.05) == Cutoffs(validation=3, test=4)

    def test_the_nearest_cut_is_taken(self):
        # Test asks for 10 of 100 rows: 12 is nearer than 3.
        counts = np.array([60, 28, 9, 3])
        assert find_cutoffs(np.arange(4), counts, 0.3, 0.1) == Cutoffs(validation=1, test=2)

    @pytest.mark.parametrize("counts", [[1, 1, 1], [98, 1, 1], [1, 1, 98], [1, 98, 1]])
    def test_three_seconds_are_three_splits(self, counts):
        cutoffs = find_cutoffs(np.array([5, 6, 7]), np.array(counts), 0.1, 0.1)
        assert cutoffs == Cutoffs(validation=6, test=7)

    def test_without_a_test_fraction_the_newest_rows_are_validation(self):
        cutoffs = find_cutoffs(np.arange(10), np.ones(10, int), 0.2, 0.0)
        assert cutoffs == Cutoffs(validation=8, test=None)
        assert split_by_time(np.arange(10), cutoffs).tolist() == [0] * 8 + [1] * 2

    def test_fewer_seconds_than_splits_cannot_be_cut(self):
        assert find_cutoffs(np.arange(2), np.ones(2, int), 0.1, 0.1) is None
        assert find_cutoffs(np.arange(1), np.ones(1, int), 0.1, 0.0) is None
        assert find_cutoffs(np.arange(0), np.ones(0, int), 0.1, 0.0) is None

    def test_counts_add_up(self, monkeypatch):
        generator = np.random.default_rng(1)
        batches = [generator.integers(-50, 50, 200) for _ in range(30)]
        monkeypatch.setattr("taskroute.components.logs.splits._MERGED_AT", 300)
        seconds, counts = merge_counts(np.unique(b, return_counts=True) for b in batches)
        expected_seconds, expected = np.unique(np.concatenate(batches), return_counts=True)
        assert seconds.tolist() == expected_seconds.tolist()
        assert counts.tolist() == expected.tolist()

    def test_no_batches_have_no_seconds(self):
        seconds, counts = merge_counts([])
        assert len(seconds) == len(counts) == 0
