"""Metrics against scikit-learn, and sums of statistics against one pass."""

import functools
import json
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from taskroute.components.task_evaluator.metrics import (
    PROBABILITY_MARGIN,
    BinaryStatistics,
    RegressionStatistics,
)


def _sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def _log_of_rate(positive_rate, num_rows=500_000, spread=1.5, seed=1):
    """Calibrated float32 probabilities whose mean is near the positive rate, and labels."""
    random = np.random.default_rng(seed)
    middle = np.log(positive_rate / (1 - positive_rate)) - spread**2 / 2 * (1 - 2 * positive_rate)
    probability = _sigmoid(random.normal(middle, spread, num_rows)).astype(np.float32)
    return probability, (random.random(num_rows) < probability).astype(np.float32)


def _binary(probability, label, weight=None):
    weight = np.ones(len(label)) if weight is None else weight
    return BinaryStatistics.of(probability, label, weight).metrics()


@pytest.mark.parametrize("positive_rate", [0.5, 1e-2, 1e-4])
@pytest.mark.parametrize("spread", [0.2, 1.5])
def test_auc_is_that_of_scikit_learn_at_every_positive_rate(positive_rate, spread):
    probability, label = _log_of_rate(positive_rate, spread=spread)
    expected = oracle.roc_auc_score(label, probability)
    assert _binary(probability, label).values["auc"] == pytest.approx(expected, abs=1e-4)


def test_auc_with_weights_is_that_of_scikit_learn():
    probability, label = _log_of_rate(0.05, num_rows=100_000)
    weight = np.random.default_rng(2).exponential(size=len(label))
    expected = oracle.roc_auc_score(label, probability, sample_weight=weight)
    assert _binary(probability, label, weight).values["auc"] == pytest.approx(expected, abs=1e-4)


def test_ties_count_half():
    # Pairs (positive, negative): .9 beats .4 and .1; .4 ties with .4 and beats .1: 3.5 of 4.
    assert _binary([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0]).values["auc"] == 3.5 / 4
    assert _binary([0.3, 0.3, 0.3], [1, 0, 0]).values["auc"] == 0.5


def test_auc_with_many_ties_is_that_of_scikit_learn():
    probability, label = _log_of_rate(0.2, num_rows=20_000)
    probability = np.round(probability, 1)
    expected = oracle.roc_auc_score(label, probability)
    assert _binary(probability, label).values["auc"] == pytest.approx(expected, abs=1e-12)


def test_probabilities_of_0_and_1_are_ordered_and_keep_the_loss_finite():
    values = _binary([0.0, 1.0, 0.0, 1.0], [0, 1, 1, 0]).values
    assert values["auc"] == 0.5
    assert values["log_loss"] == pytest.approx(-np.log(PROBABILITY_MARGIN) / 2, rel=1e-6)


def test_losses_and_rates_are_those_of_the_definitions():
    probability, label = _log_of_rate(0.1, num_rows=50_000)
    weight = np.random.default_rng(3).uniform(0.5, 2, len(label))
    values = _binary(probability, label, weight).values
    rate = np.average(label, weights=weight)
    log_loss = oracle.log_loss(label, probability.astype(np.float64), sample_weight=weight)
    always_the_rate = oracle.log_loss(label, np.full(len(label), rate), sample_weight=weight)
    predicted = np.average(probability.astype(np.float64), weights=weight)
    assert values["log_loss"] == pytest.approx(log_loss, rel=1e-9)
    assert values["normalized_entropy"] == pytest.approx(log_loss / always_the_rate, rel=1e-9)
    assert values["actual_rate"] == pytest.approx(rate, rel=1e-12)
    assert values["predicted_rate"] == pytest.approx(predicted, rel=1e-12)
    assert values["calibration"] == pytest.approx(predicted / rate, rel=1e-12)


def test_regression_metrics_are_those_of_scikit_learn():
    random = np.random.default_rng(4)
    label, weight = random.exponential(60, 10_000), random.uniform(0, 2, 10_000)
    prediction = label + random.normal(2, 10, 10_000)
    measured = RegressionStatistics.of(prediction, label, weight).metrics()
    mae = oracle.mean_absolute_error(label, prediction, sample_weight=weight)
    rmse = oracle.root_mean_squared_error(label, prediction, sample_weight=weight)
    assert measured.values == pytest.approx(
        {
            "mae": mae,
            "rmse": rmse,
            "mean_prediction": np.average(prediction, weights=weight),
            "mean_label": np.average(label, weights=weight),
        },
        rel=1e-9,
    )


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_leaves_the_auc_undefined_and_says_why(label):
    measured = _binary([0.2, 0.7], [label, label])
    assert measured.values["auc"] is None
    assert measured.undefined["auc"] == f"every label is {label}"
    assert measured.values["log_loss"] is not None


@pytest.mark.parametrize("statistics", [BinaryStatistics, RegressionStatistics])
def test_without_a_labelled_row_everything_is_undefined(statistics):
    measured = statistics.of([0.2, 0.3], [1.0, 0.0], [0.0, 0.0]).metrics()
    assert measured.num_examples == 0
    assert set(measured.undefined) == set(measured.values)
    assert set(measured.values.values()) == {None}
    assert set(measured.undefined.values()) == {"no row has a label"}
    assert measured == statistics.empty().metrics()


@pytest.mark.parametrize(
    ("statistics", "wrong"),
    [
        (BinaryStatistics, np.nan),
        (BinaryStatistics, -0.01),
        (BinaryStatistics, 1.01),
        (BinaryStatistics, np.inf),
        (RegressionStatistics, np.nan),
        (RegressionStatistics, -np.inf),
    ],
)
@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_one_wrong_prediction_leaves_everything_undefined_whether_labelled_or_not(
    statistics, wrong, weight
):
    good = statistics.of([0.2, 0.7], [0.0, 1.0], [1.0, 1.0])
    bad = statistics.of([wrong], [1.0], [weight])
    measured = (good + bad).metrics()
    assert measured.num_invalid == 1
    assert set(measured.values.values()) == {None}
    assert all(reason.startswith("1 prediction is not") for reason in measured.undefined.values())
    json.loads(measured.model_dump_json(), parse_constant=pytest.fail)


def test_a_row_with_weight_0_counts_in_nothing():
    with_row = _binary([0.2, 0.7, 0.9], [0, 1, 7], [1, 1, 0])
    assert with_row == _binary([0.2, 0.7], [0, 1])


@pytest.mark.parametrize(
    ("statistics", "label", "weight", "complaint"),
    [
        (BinaryStatistics, 2.0, 1.0, "a label must be 0 or 1. Received: 2.0"),
        (BinaryStatistics, np.nan, 1.0, "a label must be 0 or 1. Received: nan"),
        (RegressionStatistics, np.nan, 1.0, "a label must be finite. Received: nan"),
        (BinaryStatistics, 1.0, -1.0, "a weight must be finite and >= 0. Received: -1.0"),
        (RegressionStatistics, 1.0, np.nan, "a weight must be finite and >= 0. Received: nan"),
    ],
)
def test_labels_and_weights_that_cannot_be_measured_are_refused(
    statistics, label, weight, complaint
):
    with pytest.raises(ValueError, match=complaint):
        statistics.of([0.5], [label], [weight])


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="vectors of one length"):
        BinaryStatistics.of([0.5, 0.5], [1.0], [1.0])


_ROWS = st.lists(
    st.tuples(
        st.floats(0, 1, width=32), st.sampled_from([0.0, 1.0]), st.integers(0, 3), st.integers(0, 4)
    ),
    min_size=1,
    max_size=40,
)


def _defined(measured):
    return {name: value for name, value in measured.values.items() if value is not None}


@pytest.mark.parametrize("statistics", [BinaryStatistics, RegressionStatistics])
@settings(max_examples=50, deadline=None)
@given(rows=_ROWS, order=st.permutations(range(5)))
def test_shards_in_any_order_add_up_to_one_pass(statistics, rows, order):
    prediction, label, weight, shard = (np.array(column) for column in zip(*rows, strict=True))
    shards = [
        statistics.of(prediction[shard == i], label[shard == i], weight[shard == i]) for i in order
    ]
    one_pass = statistics.of(prediction, label, weight).metrics()
    left_to_right = functools.reduce(operator.add, shards, statistics.empty())
    right_to_left = functools.reduce(lambda total, part: part + total, reversed(shards))
    for total in (left_to_right.metrics(), right_to_left.metrics()):
        assert _defined(total) == pytest.approx(_defined(one_pass), rel=1e-12, abs=1e-12)
        assert total.model_dump(exclude={"values"}) == one_pass.model_dump(exclude={"values"})


@pytest.mark.parametrize("statistics", [BinaryStatistics, RegressionStatistics])
@settings(max_examples=50, deadline=None)
@given(rows=_ROWS)
def test_a_weight_is_the_number_of_times_a_row_counts(statistics, rows):
    prediction, label, weight, _ = (np.array(column) for column in zip(*rows, strict=True))
    weighted = statistics.of(prediction, label, weight).metrics()
    repeated = statistics.of(
        np.repeat(prediction, weight), np.repeat(label, weight), np.ones(weight.sum())
    ).metrics()
    assert _defined(weighted) == pytest.approx(_defined(repeated), rel=1e-9, abs=1e-12)
    assert weighted.undefined == repeated.undefined
    assert weighted.weight == repeated.weight


def test_adding_changes_neither_summand():
    one = BinaryStatistics.of([0.2, 0.7], [0, 1], [1, 1])
    before = one.metrics()
    _ = one + one
    assert one.metrics() == before
