"""Metrics of binary tasks against scikit-learn and plain loops, and sums of statistics."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from taskroute.components.measures.binary import PROBABILITY_MARGIN, BinaryStatistics
from taskroute.components.measures.rows import make_rows
from taskroute.components.measures.sparse_sums import SparseSums
from taskroute.components.measures.task_metrics import measure


def _log_of_rate(positive_rate, num_rows=500_000, spread=1.5, seed=1):
    """Calibrated float32 probabilities whose mean is near the positive rate, and labels."""
    random = np.random.default_rng(seed)
    middle = np.log(positive_rate / (1 - positive_rate)) - spread**2 / 2 * (1 - 2 * positive_rate)
    probability = 1 / (1 + np.exp(-random.normal(middle, spread, num_rows))).astype(np.float32)
    return probability, (random.random(num_rows) < probability).astype(np.float32)


def _add_up(rows):
    statistics = BinaryStatistics(len(rows.predictions), rows.has_key)
    statistics.add(rows)
    return statistics


def _metrics(probability, label, weight=None, units=None):
    rows = make_rows("binary", probability, label, weight, units=units)
    return measure(_add_up(rows), 0.95).candidate


@pytest.mark.parametrize("positive_rate", [0.5, 1e-2, 1e-4])
@pytest.mark.parametrize("spread", [0.2, 1.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_auc_is_that_of_scikit_learn_at_every_positive_rate(positive_rate, spread, weighted):
    probability, label = _log_of_rate(positive_rate, spread=spread)
    weight = np.random.default_rng(2).exponential(size=len(label)) if weighted else None
    expected = oracle.roc_auc_score(label, probability, sample_weight=weight)
    measured = _metrics(probability, label, weight)
    assert measured.values["auc"] == pytest.approx(expected, abs=1e-4)
    expected = oracle.average_precision_score(label, probability, sample_weight=weight)
    assert measured.values["pr_auc"] == pytest.approx(expected, abs=1e-4)


def test_ties_count_half():
    # Pairs (positive, negative): .9 beats .4 and .1; .4 ties with .4 and beats .1: 3.5 of 4.
    assert _metrics([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0]).values["auc"] == 3.5 / 4


def test_auc_with_many_ties_is_that_of_scikit_learn():
    probability, label = _log_of_rate(0.2, num_rows=20_000)
    probability = np.round(probability, 1)
    values = _metrics(probability, label).values
    assert values["auc"] == pytest.approx(oracle.roc_auc_score(label, probability), abs=1e-12)
    expected = oracle.average_precision_score(label, probability)
    assert values["pr_auc"] == pytest.approx(expected, abs=1e-12)


def test_probabilities_of_0_and_1_are_ordered_and_keep_the_loss_finite():
    values = _metrics([0.0, 1.0, 0.0, 1.0], [0, 1, 1, 0]).values
    assert values["auc"] == 0.5
    assert values["log_loss"] == pytest.approx(-np.log(PROBABILITY_MARGIN) / 2, rel=1e-6)


def test_losses_and_rates_are_those_of_the_definitions():
    probability, label = _log_of_rate(0.1, num_rows=50_000)
    weight = np.random.default_rng(3).uniform(0.5, 2, len(label))
    values = _metrics(probability, label, weight).values
    rate = np.average(label, weights=weight)
    log_loss = oracle.log_loss(label, probability.astype(np.float64), sample_weight=weight)
    always_the_rate = oracle.log_loss(label, np.full(len(label), rate), sample_weight=weight)
    predicted = np.average(probability.astype(np.float64), weights=weight)
    assert values["log_loss"] == pytest.approx(log_loss, rel=1e-9)
    assert values["normalized_entropy"] == pytest.approx(log_loss / always_the_rate, rel=1e-9)
    assert values["actual_rate"] == pytest.approx(rate, rel=1e-12)
    assert values["predicted_rate"] == pytest.approx(predicted, rel=1e-12)
    assert values["calibration"] == pytest.approx(predicted / rate, rel=1e-12)


def test_ece_is_the_mean_gap_over_20_bins_of_equal_weight():
    probability, label = _log_of_rate(0.1, num_rows=40_000)
    probability = probability**1.2
    order = np.argsort(probability, kind="stable")
    gaps = [abs(probability[rows].sum() - label[rows].sum()) for rows in np.array_split(order, 20)]
    expected = sum(gaps) / len(label)
    assert _metrics(probability, label).values["ece"] == pytest.approx(expected, abs=2e-4)


def _gauc(probability, label, weight, unit):
    total = of = 0.0
    for one in np.unique(unit):
        rows = (unit == one) & (weight > 0)
        if len(np.unique(label[rows])) == 2:
            auc = oracle.roc_auc_score(label[rows], probability[rows], sample_weight=weight[rows])
            total, of = total + weight[rows].sum() * auc, of + weight[rows].sum()
    return total / of


def test_reliability_bins_hold_every_row_once_and_give_the_ece():
    probability, label = _log_of_rate(0.2, num_rows=20_000)
    weight = np.random.default_rng(4).uniform(0.5, 2, len(label))
    measured = _metrics(probability, label, weight)
    bins = measured.reliability
    assert len(bins) == 20
    assert [found.predicted for found in bins] == sorted(found.predicted for found in bins)
    weights = np.array([found.weight for found in bins])
    assert weights.sum() == pytest.approx(weight.sum(), rel=1e-6)
    assert weights.max() < 1.1 * weights.min()
    gaps = np.array([abs(found.predicted - found.actual) for found in bins])
    assert gaps @ weights / weights.sum() == pytest.approx(measured.values["ece"], rel=1e-9)


def test_intervals_of_reliability_bins_hold_the_truth_of_calibrated_predictions():
    probability, label = _log_of_rate(0.2, num_rows=100_000)
    bins = _metrics(probability, label).reliability
    inside = [found.low <= found.predicted <= found.high for found in bins]
    assert sum(inside) >= 17  # 19 of 20 are to be expected at 95 %


def test_wrong_predictions_and_rows_without_label_have_no_reliability():
    assert _metrics([0.5, 1.5], [0, 1]).reliability == ()
    assert _metrics([0.5, 0.6], [0, 1], [0, 0]).reliability == ()


def test_gauc_is_the_mean_auc_of_users_with_both_classes_by_their_impressions():
    probability, label = _log_of_rate(0.2, num_rows=4000)
    probability = np.round(probability, 2)
    random = np.random.default_rng(5)
    users, weight = random.integers(0, 700, 4000), random.integers(0, 3, 4000).astype(float)
    measured = _metrics(probability, label, weight, users)
    expected = _gauc(probability, label, weight, users)
    assert measured.values["gauc"] == pytest.approx(expected, rel=1e-12)
    assert measured.intervals["gauc"].low < expected < measured.intervals["gauc"].high


def test_rows_without_a_user_are_no_user():
    probability, label = _log_of_rate(0.2, num_rows=4000)
    random = np.random.default_rng(6)
    users, keyed = random.integers(0, 300, 4000).astype(np.uint64), random.random(4000) < 0.7
    rows = make_rows("binary", probability, label, units=np.where(keyed, users, np.uint64(7)))
    rows = replace(rows, keyed=keyed)
    halves = [_add_up(rows[:2000]), _add_up(rows[2000:])]
    halves[0].merge(halves[1])
    measured = measure(halves[0], 0.95)
    expected = _gauc(probability[keyed], label[keyed], np.ones(keyed.sum()), users[keyed])
    assert measured.candidate.values["gauc"] == pytest.approx(expected, rel=1e-12)
    assert measured.candidate.num_examples == 4000


def test_gauc_says_why_it_is_undefined():
    assert _metrics([0.2, 0.7], [0, 1]).undefined == {
        "gauc": "the config has no `evaluation.group_key`"
    }
    undefined = _metrics([0.2, 0.7], [0, 1], units=[1, 2]).undefined
    assert undefined == {"gauc": "no unit of the group key has labels of both classes"}


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_leaves_the_order_undefined_and_says_why(label):
    measured = _metrics([0.2, 0.7], [label, label], units=[1, 1])
    for metric in ("auc", "pr_auc", "gauc", "normalized_entropy"):
        assert measured.values[metric] is None
        assert measured.undefined[metric] == f"every label is {label}"
    assert measured.values["log_loss"] is not None


def test_a_constant_prediction_leaves_the_order_undefined_and_is_named():
    measured = _metrics([0.25] * 4, [0, 1, 0, 1], units=[1, 1, 2, 2])
    for metric in ("auc", "pr_auc", "gauc"):
        assert measured.values[metric] is None
        assert measured.undefined[metric] == "every prediction is 0.25"
    assert measured.values["calibration"] == 0.5


def test_without_a_labelled_row_everything_is_undefined():
    measured = _metrics([0.2, 0.3], [1.0, 0.0], [0.0, 0.0])
    assert measured.num_examples == 0
    assert set(measured.values.values()) == {None}
    assert set(measured.undefined.values()) == {"no row has a label"}
    assert measured == measure(BinaryStatistics(1, False), 0.95).candidate


@pytest.mark.parametrize("wrong", [np.nan, -0.01, 1.01, np.inf])
@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_one_wrong_prediction_leaves_everything_undefined_whether_labelled_or_not(wrong, weight):
    measured = _metrics([0.2, 0.7, wrong], [0.0, 1.0, 1.0], [1.0, 1.0, weight])
    assert measured.num_invalid == 1
    assert set(measured.values.values()) == {None}
    assert set(measured.undefined.values()) == {"1 prediction is not a number in [0, 1]"}
    json.loads(measured.model_dump_json(), parse_constant=pytest.fail)


def test_a_row_with_weight_0_counts_in_nothing():
    with_row = _metrics([0.2, 0.7, 0.9], [0, 1, 7], [1, 1, 0])
    assert with_row == _metrics([0.2, 0.7], [0, 1])


@pytest.mark.parametrize(
    ("label", "weight", "complaint"),
    [
        (2.0, 1.0, "a label must be 0 or 1. Received: 2.0"),
        (np.nan, 1.0, "a label must be 0 or 1. Received: nan"),
        (1.0, -1.0, "a weight must be finite and >= 0. Received: -1.0"),
    ],
)
def test_labels_and_weights_that_cannot_be_measured_are_refused(label, weight, complaint):
    with pytest.raises(ValueError, match=complaint):
        make_rows("binary", [0.5], [label], [weight])


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="the other columns"):
        make_rows("binary", [0.5, 0.5], [1.0], [1.0])


_ROWS = st.lists(
    st.tuples(
        st.floats(0, 1, width=32),
        st.sampled_from([0.0, 1.0]),
        st.integers(0, 3),
        st.integers(0, 4),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=40,
)


def _defined(measured):
    return {name: value for name, value in measured.values.items() if value is not None}


def _assert_same(one, other):
    assert _defined(one) == pytest.approx(_defined(other), rel=1e-9, abs=1e-12)
    assert one.undefined == other.undefined
    assert one.weight == pytest.approx(other.weight)


@settings(max_examples=50, deadline=None)
@given(rows=_ROWS, order=st.permutations(range(5)))
def test_shards_in_any_order_add_up_to_one_pass(rows, order):
    prediction, label, weight, shard, unit = (np.array(c) for c in zip(*rows, strict=True))
    all_rows = make_rows("binary", prediction, label, weight, units=unit)
    one_pass = measure(_add_up(all_rows), 0.95).candidate
    left_to_right = BinaryStatistics(1, True)
    right_to_left = BinaryStatistics(1, True)
    for index in order:
        left_to_right.merge(_add_up(all_rows[shard == index]))
    for index in reversed(order):
        part = _add_up(all_rows[shard == index])
        part.merge(right_to_left)
        right_to_left = part
    for total in (left_to_right, right_to_left):
        measured = measure(total, 0.95).candidate
        _assert_same(measured, one_pass)
        assert measured.num_examples == one_pass.num_examples
        assert measured.intervals.keys() == one_pass.intervals.keys()
        for name, interval in one_pass.intervals.items():
            assert measured.intervals[name].low == pytest.approx(interval.low, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(rows=_ROWS, seed=st.integers(0, 99))
def test_the_order_of_rows_changes_nothing(rows, seed):
    prediction, label, weight, _, unit = (np.array(c) for c in zip(*rows, strict=True))
    all_rows = make_rows("binary", prediction, label, weight, units=unit)
    order = np.random.default_rng(seed).permutation(len(label))
    one = measure(_add_up(all_rows), 0.95).candidate
    other = measure(_add_up(all_rows[order]), 0.95).candidate
    _assert_same(one, other)
    for name, interval in one.intervals.items():
        assert other.intervals[name].low == pytest.approx(interval.low, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(rows=_ROWS)
def test_a_weight_is_the_number_of_times_a_row_counts(rows):
    prediction, label, weight, _, unit = (np.array(c) for c in zip(*rows, strict=True))
    times = weight.astype(int)
    weighted = _metrics(prediction, label, weight, unit)
    repeated = _metrics(
        np.repeat(prediction, times),
        np.repeat(label, times),
        units=np.repeat(unit, times),
    )
    _assert_same(weighted, repeated)
    for name, interval in weighted.intervals.items():
        assert repeated.intervals[name].low == pytest.approx(interval.low, abs=1e-9)


def test_sums_by_key_are_the_same_however_often_they_are_settled():
    random = np.random.default_rng(1)
    sums, expected = SparseSums(), np.zeros(50_000)
    for _ in range(30):
        keys, values = random.integers(0, 50_000, 5000), random.random(5000)
        sums.add(keys.astype(np.int32), values)
        np.add.at(expected, keys, values)
    keys, values = sums.settle()
    assert (np.diff(keys) > 0).all()
    np.testing.assert_allclose(values, expected[keys], rtol=1e-12)
    assert expected.sum() == pytest.approx(values.sum())
