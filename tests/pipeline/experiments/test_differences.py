"""Paired differences of few seeds, and Holm's correction."""

import numpy as np
import pytest
from scipy import stats

from taskroute.pipeline.experiments.differences import against, holm, reach_of_mean


def paired(ours, theirs, confidence=0.95):
    return against("other", dict(enumerate(ours)), dict(enumerate(theirs)), 1, confidence)


def test_quantiles_are_those_of_the_printed_table():
    assert reach_of_mean(1.0, 2, 0.95) * 2**0.5 == pytest.approx(12.706, abs=5e-4)
    assert reach_of_mean(1.0, 5, 0.95) * 5**0.5 == pytest.approx(2.776, abs=5e-4)


@pytest.mark.parametrize("count", [2, 3, 5, 6, 31])
def test_the_paired_test_is_that_of_scipy(count):
    random = np.random.default_rng(count)
    ours, theirs = random.normal(size=count), random.normal(size=count)
    expected = stats.ttest_rel(ours, theirs)
    for confidence in (0.5, 0.95, 0.999):
        found = paired(ours, theirs, confidence)
        interval = expected.confidence_interval(confidence)
        assert found.p_value == pytest.approx(expected.pvalue)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_the_interval_by_hand():
    # Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t 4.302653 with 2 degrees.
    found = paired([2, 3, 4], [1, 1, 1])
    assert found.difference == 2
    assert found.high - found.low == pytest.approx(2 * 4.302653 / 3**0.5, rel=1e-6)


def test_one_pair_shows_nothing():
    assert paired([1.0], [2.0]) is None


def test_differences_that_do_not_vary_are_not_tested():
    assert paired([1, 2], [1, 2]) is None
    assert paired([0.3, 0.4, 0.5], [0.2, 0.3, 0.4]) is None


def test_holm_by_hand():
    # In order 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1, and never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_stays_at_most_1_and_takes_no_tests():
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_chance_alone_is_seldom_called_a_difference():
    random = np.random.default_rng(7)
    shown = 0
    for _ in range(400):
        p_values = [paired(random.normal(size=5), random.normal(size=5)).p_value for _ in range(10)]
        shown += min(holm(p_values)) < 0.05
    # 20 are expected at most; 3.5 standard errors above that.
    assert shown <= 35
