"""Student's t for few seeds, and Holm's correction."""

import numpy as np
import pytest

from taskroute.pipeline.experiments.trials.paired import (
    holm,
    paired_difference,
    student_t,
    two_sided_p,
)

DEGREES = (1, 2, 3, 4, 5, 9, 30)


@pytest.mark.parametrize("degrees", DEGREES)
def test_p_values_and_quantiles_are_those_of_scipy(degrees):
    stats = pytest.importorskip("scipy.stats")
    for t in (0.0, 0.3, -1.0, 2.5, 7.0, 40.0):
        expected = 2 * stats.t.sf(abs(t), degrees)
        assert two_sided_p(t, degrees) == pytest.approx(expected, abs=1e-12)
    for confidence in (0.5, 0.9, 0.95, 0.999):
        expected = stats.t.ppf((1 + confidence) / 2, degrees)
        assert student_t(confidence, degrees) == pytest.approx(expected, rel=1e-8)


def test_quantiles_are_those_of_the_printed_table():
    assert student_t(0.95, 1) == pytest.approx(12.706, abs=5e-4)
    assert student_t(0.95, 4) == pytest.approx(2.776, abs=5e-4)


def test_the_paired_test_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(1)
    ours, theirs = random.normal(size=5), random.normal(size=5)
    expected = stats.ttest_rel(ours, theirs)
    found = paired_difference(ours, theirs, 0.95)
    interval = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_the_interval_by_hand():
    # Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t 4.302653 with 2 degrees.
    found = paired_difference([2, 3, 4], [1, 1, 1], 0.95)
    assert found.value == 2
    assert found.high - found.low == pytest.approx(2 * 4.302653 / 3**0.5, rel=1e-6)


def test_one_pair_shows_nothing():
    assert paired_difference([1.0], [2.0], 0.95) is None


def test_differences_that_do_not_vary_are_not_tested():
    assert paired_difference([1, 2], [1, 2], 0.95) is None
    assert paired_difference([0.3, 0.4, 0.5], [0.2, 0.3, 0.4], 0.95) is None


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
        p_values = [
            paired_difference(random.normal(size=5), random.normal(size=5), 0.95).p_value
            for _ in range(10)
        ]
        shown += min(holm(p_values)) < 0.05
    # 20 are expected at most; 3.5 standard errors above that.
    assert shown <= 35
