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
