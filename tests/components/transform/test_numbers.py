"""Moments and quantiles in parts, against numpy on all values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskroute.components.transform.numbers import MomentSums, QuantileSketch
from taskroute.schemas.analysis import Moments

BATCHES = st.lists(
    st.lists(st.floats(-1e6, 1e6, width=32), max_size=20).map(lambda x: np.array(x, np.float32)),
    max_size=5,
)


@given(BATCHES, st.integers(0, 5))
def test_moments_of_parts_are_those_of_all_values(batches, cut):
    first, second = MomentSums(), MomentSums()
    for index, batch in enumerate(batches):
        (first if index < cut else second).add(batch)
    first.merge(second)
    values = np.concatenate([*batches, np.empty(0)]).astype(np.float64)
    found = first.moments()
    if len(values):
        assert found.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-6)
        assert found.variance == pytest.approx(values.var(), rel=1e-9, abs=1e-6)
    else:
        assert found == Moments()


def test_a_small_variance_far_from_zero_is_kept():
    sums = MomentSums()
    for start in range(4):
        sums.add(np.float32([2**20 + start]))
    assert sums.moments().variance == 1.25


@pytest.mark.parametrize("kind", [MomentSums, QuantileSketch])
def test_what_is_not_finite_does_not_count(kind):
    plain, mixed = kind(), kind()
    plain.add(np.float32([1, 2, 5]))
    mixed.add(np.float32([np.nan, 1, np.inf, 2, 5, -np.inf]))
    if kind is MomentSums:
        assert plain.moments() == mixed.moments()
    else:
        assert plain.boundaries(3) == mixed.boundaries(3)


def test_boundaries_part_the_values_into_equal_buckets():
    values = np.random.default_rng(0).permutation(30_000).astype(np.float32)
    first, second = QuantileSketch(), QuantileSketch()
    first.add(values[:20_000])
    second.add(values[20_000:])
    first.merge(second)
    boundaries = first.boundaries(10)
    assert len(boundaries) == 9
    counts = np.bincount(np.digitize(values, boundaries))
    np.testing.assert_allclose(counts, 3_000, atol=2 * 0.001 * len(values))


def test_without_values_all_boundaries_are_zero():
    empty = QuantileSketch()
    empty.merge(QuantileSketch())
    empty.add(np.empty(0, np.float32))
    assert empty.boundaries(4) == (0.0, 0.0, 0.0)


def distinct(values, num_buckets):
    """Boundaries, and the share of rows in each bucket, which holds its lower end."""
    values = np.float32(values)
    sketch = QuantileSketch()
    for part in np.array_split(values, 4):
        sketch.add(part)
    boundaries = sketch.distinct_boundaries(num_buckets)
    ids = np.searchsorted(boundaries, values, side="right")
    return boundaries, np.bincount(ids, minlength=len(boundaries) + 1) / len(values)


RANDOM = np.random.default_rng(2)
IS_ZERO = RANDOM.random(30_000) < 0.9
AMOUNTS = RANDOM.exponential(size=30_000)


def test_distinct_boundaries_are_the_quantiles_where_those_are_distinct():
    sketch = QuantileSketch()
    sketch.add(np.float32(AMOUNTS))
    assert sketch.distinct_boundaries(10) == sketch.boundaries(10)


@pytest.mark.parametrize("value", [0.0, -1.0, 1e10])
def test_a_value_of_most_rows_has_a_bucket_of_its_own_and_the_others_part_the_rest(value):
    boundaries, shares = distinct(np.where(IS_ZERO, value, AMOUNTS + 1e-6), 10)
    assert len(boundaries) == 9
    assert max(shares) == pytest.approx(IS_ZERO.mean())
    others = np.delete(shares, shares.argmax())
    np.testing.assert_allclose(others, (1 - IS_ZERO.mean()) / 9, atol=0.002)


def test_zeros_are_apart_from_values_on_both_sides():
    values = np.where(IS_ZERO, 0, RANDOM.normal(size=len(IS_ZERO)))
    boundaries, shares = distinct(values, 10)
    assert max(shares) == pytest.approx(IS_ZERO.mean())
    assert len(boundaries) == 9
    assert sum(shares[: shares.argmax()]) == pytest.approx((values < 0).mean())


@pytest.mark.parametrize(
    ("values", "num_filled"),
    [
        (IS_ZERO, 2),
        (RANDOM.random(30_000) < 0.0005, 2),  # a rare flag
        (RANDOM.integers(0, 5, 30_000), 5),
        (np.full(30_000, 3), 1),
    ],
)
def test_few_values_have_a_bucket_each(values, num_filled):
    boundaries, shares = distinct(values, 20)
    assert np.count_nonzero(shares) == num_filled
    assert len(boundaries) == max(num_filled - 1, 1)


def test_the_least_value_shares_no_bucket_where_it_fills_one():
    values = np.where(RANDOM.random(30_000) < 0.6, 0, AMOUNTS + 1e-6)
    _, shares = distinct(values, 3)
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.01)


def test_without_values_two_buckets_are_left():
    assert QuantileSketch().distinct_boundaries(10) == (0.0,)
