"""Limits of usual numbers, and what is squashed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskroute.components.measures.robust_limits import limits_of
from taskroute.schemas.analysis import Limits

RANDOM = np.random.default_rng(3)
NORMAL = RANDOM.normal(size=10_000)
AGES = RANDOM.integers(18, 80, 10_000).astype(float)


def shares_beyond(values, usual):
    """Shares of usual and of other values that are outliers."""
    limits = limits_of(values)
    beyond = (values < limits.low) | (values > limits.high)
    return beyond[usual].mean(), beyond[~usual].mean()


@pytest.mark.parametrize("share", [0.001, 0.04, 0.2, 0.6])
@pytest.mark.parametrize("value", [1e10, -1e10, -999.0, 1e30])
@pytest.mark.parametrize("column", [NORMAL, AGES])
def test_one_value_for_not_known_is_beyond_the_limits_and_no_other_is(column, value, share):
    is_usual = RANDOM.random(len(column)) >= share
    values = np.where(is_usual, column, value)
    assert shares_beyond(values, is_usual) == (0, 1)
    # The others keep differences that a model can learn from.
    scaled = squashed_scores(values)
    assert scaled[is_usual].std() > 0.1


def squashed_scores(values):
    values = limits_of(values).squash(values, np)
    return (values - values.mean()) / values.std()


@pytest.mark.parametrize("share", [0.04, 0.2])
def test_outliers_of_many_values_do_not_move_the_limits_far(share):
    is_usual = RANDOM.random(len(NORMAL)) >= share
    values = np.where(is_usual, NORMAL, RANDOM.uniform(1e8, 1e9, len(NORMAL)))
    assert shares_beyond(values, is_usual) == (0, 1)
    assert limits_of(values).high < 20


@pytest.mark.parametrize(
    "values",
    [
        NORMAL,
        AGES,
        RANDOM.uniform(size=1000),
        (RANDOM.random(1000) < 0.01).astype(float),  # a rare flag
        RANDOM.integers(0, 5, 1000).astype(float),
        np.where(RANDOM.random(10_000) < 0.97, 0, RANDOM.normal(40, 5, 10_000)),  # nearly all zeros
        np.where(RANDOM.random(1000) < 0.5, 100, 200) + RANDOM.normal(size=1000),  # two clusters
        1.7e9 + 86_400 * RANDOM.random(1000),  # times
    ],
)
def test_columns_without_outliers_stay_as_they_are(values):
    limits = limits_of(values)
    np.testing.assert_array_equal(limits.squash(values, np), values)


@pytest.mark.parametrize(
    ("values", "usual"),
    [([0, 1, 1e10], [0, 1]), ([-999, 0, 1], [0, 1]), ([0, 1, 2, -999], [0, 1, 2])],
)
def test_of_few_values_the_far_one_is_the_outlier(values, usual):
    column = RANDOM.choice(values, 1000)
    is_usual = np.isin(column, usual)
    assert shares_beyond(column, is_usual) == (0, 1)


def test_a_long_tail_keeps_its_order():
    values = np.unique(RANDOM.lognormal(3, 1.5, 10_000).astype(np.float32))
    limits = limits_of(values)
    assert 0.01 < (values > limits.high).mean() < 0.1
    squashed = limits.squash(values, np)
    assert squashed.dtype == np.float32
    assert np.all(np.diff(squashed) > 0)
    assert squashed.max() <= limits.high + limits.room


def test_a_column_of_one_value_or_none_makes_all_numbers_that_value():
    assert limits_of(np.full(9, 7.0)) == Limits(low=7, high=7, room=0)
    np.testing.assert_array_equal(
        limits_of(np.full(9, 7.0)).squash(np.float32([1, 7, 1e30]), np), 7
    )
    np.testing.assert_array_equal(limits_of(np.empty(0)).squash(np.float32([-1, 1e30]), np), 0)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=30).map(
        lambda values: np.float32(values)
    )
)
def test_any_numbers_are_squashed_to_finite_ones_in_their_order(values):
    with np.errstate(over="ignore"):
        squashed = limits_of(values).squash(np.sort(values), np)
    assert np.isfinite(squashed).all()
    assert np.all(np.diff(squashed) >= -1e-6 * np.abs(squashed).max(initial=0))
