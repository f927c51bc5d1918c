"""Counting terms in parts, and the vocabulary that follows."""

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskroute.components.transform import term_counts
from taskroute.components.transform.term_counts import TermCounts, most_frequent, to_lines
from taskroute.schemas.analysis import NO_TERM
from taskroute.schemas.features import Vocabulary

TERMS = st.sampled_from([b"a", b"b", b"B", b"ab", b"", b"\n", "ü".encode(), b"\xff", b"x" * 40])


def count(*batches):
    counts = TermCounts()
    for batch in batches:
        counts.add(pa.array(batch, pa.binary()))
    return counts


def as_dict(counts):
    table = counts.table()
    found = dict(zip(table["term"].to_pylist(), table["count"].to_pylist(), strict=True))
    assert len(found) == table.num_rows
    return found


def lines(counts, **settings):
    return to_lines(most_frequent(counts.table(), Vocabulary(**settings)))


@pytest.mark.parametrize("merged_at", [0, 500_000])
@given(batches=st.lists(st.lists(TERMS, max_size=20), max_size=6))
def test_batches_and_parts_add_up(merged_at, batches):
    before = term_counts._MERGED_AT
    term_counts._MERGED_AT = merged_at
    try:
        expected = Counter(term for batch in batches for term in batch)
        counts = count(*batches)
        merged = TermCounts()
        for batch in batches:
            merged.merge(count(batch))
        assert as_dict(counts) == as_dict(merged) == expected
    finally:
        term_counts._MERGED_AT = before


@given(st.lists(TERMS, max_size=60), st.integers(1, 5))
def test_each_term_is_in_one_part_the_same_for_all(batch, num_parts):
    parts = {number: as_dict(part) for number, part in count(batch).partition(num_parts)}
    assert 0 in parts
    assert sum(map(Counter, parts.values()), Counter()) == Counter(batch)
    place = {term: number for number, part in parts.items() for term in part}
    again = {t: n for n, part in count([b"a", b"ab"]).partition(num_parts) for t in as_dict(part)}
    for term in set(batch) & {b"a", b"ab"}:
        assert again[term] == place[term]


def test_missing_values_are_no_terms():
    assert as_dict(count([b"a", None, b"a"])) == {b"a": 2}


def test_terms_stand_by_falling_count_then_by_falling_bytes():
    counts = count([b"b", b"a", b"c", b"c", "ü".encode(), b"B", b"ba"])
    assert lines(counts).split(b"\n") == [b"c", "ü".encode(), b"ba", b"b", b"a", b"B", b""]


def test_a_term_without_a_line_of_its_own_is_left_out_before_the_cut():
    counts = count([b""] * 9 + [b"x\ny"] * 8 + [b"x\r"] * 7 + [b"a"] * 2 + [b"b"])
    assert lines(counts, max_size=1) == b"a\n"


def test_rare_terms_are_left_out():
    assert lines(count([b"a"] * 3 + [b"b"] * 2 + [b"c"]), min_count=2) == b"a\nb\n"


def test_a_vocabulary_of_nothing_holds_one_term_that_no_log_has():
    assert lines(count([b"a"]), min_count=2) == NO_TERM + b"\n"
    assert lines(count()) == NO_TERM + b"\n"
