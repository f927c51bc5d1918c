"""Intervals: their quantile, their scale, and how often they hold the truth."""

from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from taskroute.components.measures.binary import BinaryStatistics
from taskroute.components.measures.jackknife import NUM_GROUPS, Spread, spread
from taskroute.components.measures.rows import make_rows, row_hashes
from taskroute.components.measures.task_metrics import measure


@pytest.mark.parametrize("degrees_of_freedom", [4, 10, 31])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_the_quantile_is_that_of_student_s_t(confidence, degrees_of_freedom):
    expected = stats.t.ppf((1 + confidence) / 2, degrees_of_freedom)
    low, high = Spread(2.0, degrees_of_freedom).interval(10.0, confidence)
    assert (10 - low) / 2 == pytest.approx(expected)
    assert (high - 10) / 2 == pytest.approx(expected)


def test_the_quantile_of_four_degrees_is_that_of_the_tables():
    assert Spread(1.0, 4).interval(0.0, 0.95)[1] == pytest.approx(2.776, abs=5e-4)


def test_the_standard_error_of_a_mean_is_the_textbook_s():
    values = np.random.default_rng(1).normal(size=NUM_GROUPS)
    left_out = (values.sum() - values) / (NUM_GROUPS - 1)
    found = spread(left_out, NUM_GROUPS)
    assert found.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(NUM_GROUPS))
    assert found.degrees_of_freedom == NUM_GROUPS - 1


def test_too_few_groups_or_an_undefined_one_leave_no_interval():
    assert spread(np.zeros(NUM_GROUPS), 4) is None
    assert spread(np.array([0.5] * 9 + [np.nan]), 10) is None


def test_the_interval_of_a_share_stays_within_0_and_1():
    wide = Spread(0.2, 10)
    low, high = wide.interval(0.95, 0.95, is_share=True)
    assert 0 < low < 0.95 < high < 1
    assert wide.interval(0.95, 0.95)[1] > 1
    narrow, plain = Spread(1e-4, 31).interval(0.7, 0.95, is_share=True), Spread(1e-4, 31)
    assert narrow == pytest.approx(plain.interval(0.7, 0.95), abs=1e-6)


def test_rows_have_hashes_of_their_own_and_groups_of_like_size():
    hashes = np.concatenate([row_hashes(file, 0, 50_000) for file in range(4)])
    assert len(np.unique(hashes)) == 200_000
    sizes = np.bincount((hashes % NUM_GROUPS).astype(int), minlength=NUM_GROUPS)
    assert abs(sizes - 6250).max() < 5 * np.sqrt(6250)
    assert (row_hashes(3, 0, 9)[4:] == row_hashes(3, 4, 5)).all()


def _scores(random, num_rows, rate, distance):
    label = (random.random(num_rows) < rate).astype(float)
    return random.normal(size=num_rows) + distance * label, label


def _probability(score):
    return 1 / (1 + np.exp(2 - score))


def _measure(predictions, label, units=None):
    rows = make_rows("binary", predictions, label, units=units)
    statistics = BinaryStatistics(len(rows.predictions), rows.has_key)
    statistics.add(rows)
    return measure(statistics, 0.95)


def test_the_interval_of_an_auc_holds_the_truth_in_92_to_98_of_100_repeats():
    random, distance, held = np.random.default_rng(1), 1.0, 0
    truth = NormalDist().cdf(distance / np.sqrt(2))
    for _ in range(300):
        score, label = _scores(random, 2000, 0.1, distance)
        interval = _measure(_probability(score), label).candidate.intervals["auc"]
        held += interval.low <= truth <= interval.high
    assert 0.92 <= held / 300 <= 0.98


def test_intervals_know_that_the_rows_of_a_user_are_not_independent():
    """Users differ in how well they are predicted: rows alone would promise too much."""
    random = np.random.default_rng(2)
    errors, by_user, by_row = [], [], []
    for _ in range(60):
        users = np.repeat(np.arange(60), 25)
        hashes = row_hashes(random.integers(1000), 0, 60)[users]
        label = (random.random(1500) < np.repeat(random.beta(1, 3, 60), 25)).astype(float)
        prediction = np.full((1, 1500), 0.25) + random.normal(0, 0.01, 1500)
        for units, widths in ((hashes, by_user), (None, by_row)):
            measured = _measure(prediction, label, units).candidate
            widths.append(measured.intervals["calibration"].standard_error)
        errors.append(measured.values["calibration"])
    assert np.mean(by_user) == pytest.approx(np.std(errors), rel=0.3)
    assert np.mean(by_row) < 0.6 * np.std(errors)


def test_a_paired_difference_is_surer_than_two_metrics_apart():
    random = np.random.default_rng(3)
    score, label = _scores(random, 5000, 0.2, 1.0)
    measured = _measure(np.stack([_probability(score), _probability(score + 0.1 * label)]), label)
    paired = measured.differences["auc"].interval.standard_error
    alone = measured.candidate.intervals["auc"].standard_error
    assert paired < alone / 10
    assert measured.differences["auc"].value < -5 * paired
