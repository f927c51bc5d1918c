"""Which split a row belongs to."""

import numpy as np
import pytest

from taskroute.components.log_example_gen.splits import (
    Cutoffs,
    find_cutoffs,
    hash_texts,
    merge_counts,
    split_by_hash,
    split_by_time,
)


def _hashes(texts: list[bytes]) -> np.ndarray:
    offsets = np.cumsum([0, *map(len, texts)]).astype(np.int32)
    return hash_texts(offsets, np.frombuffer(b"".join(texts), np.uint8))


GOLDEN = [
    "0xe220a8397b1dcdaf",
    "0xd442dd5b42960211",
    "0xce1234d7540f2ab1",
    "0x12a7373cd9a8f650",
    "0xf410360d3197b0",
    "0xef59324104b22bc5",
]


class TestHash:
    def test_hashes_are_the_same_in_every_version(self):
        """A change of these numbers moves users between the splits of running systems."""
        texts = [b"", b"a", b"user_1", b"12345678", b"123456789", "é".encode()]
        assert [hex(value) for value in _hashes(texts)] == GOLDEN

    def test_one_text_hashed_in_plain_python_agrees(self):
        assert int(_hashes([b"user_123456"])[0]) == _hash_in_python(b"user_123456")

    def test_a_hash_depends_on_the_text_alone(self):
        texts = [b"", b"a", b"long enough for several words", b"a", b"12345678"]
        together = _hashes(texts)
        assert together[1] == together[3]
        assert together.tolist() == [int(_hashes([text])[0]) for text in texts]
        assert together[::-1].tolist() == _hashes(texts[::-1]).tolist()

    def test_zero_bytes_count(self):
        assert len(set(_hashes([b"", b"\0", b"\0\0", b"a", b"a\0"]).tolist())) == 5

    def test_offsets_may_start_anywhere(self):
        data = np.frombuffer(b"xxabcyy", np.uint8)
        assert hash_texts(np.array([2, 5]), data) == _hashes([b"abc"])

    def test_fractions_are_met(self):
        hashes = _hashes([f"user_{index}".encode() for index in range(20_000)])
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
        monkeypatch.setattr("taskroute.components.log_example_gen.splits._MERGED_AT", 300)
        seconds, counts = merge_counts(np.unique(b, return_counts=True) for b in batches)
        expected_seconds, expected = np.unique(np.concatenate(batches), return_counts=True)
        assert seconds.tolist() == expected_seconds.tolist()
        assert counts.tolist() == expected.tolist()

    def test_no_batches_have_no_seconds(self):
        seconds, counts = merge_counts([])
        assert len(seconds) == len(counts) == 0


def _hash_in_python(text: bytes) -> int:
    def mix(value: int) -> int:
        value = (value + 0x9E3779B97F4A7C15) % 2**64
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
        return value ^ (value >> 31)

    value = 0
    for start in range(0, len(text), 8):
        value = mix(value + int.from_bytes(text[start : start + 8], "little"))
    return mix((value + len(text)) % 2**64)
