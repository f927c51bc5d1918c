"""Metrics of regression tasks against scikit-learn and plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from taskroute.components.measures import regression
from taskroute.components.measures.regression import RegressionStatistics
from taskroute.components.measures.rows import make_rows
from taskroute.components.measures.task_metrics import measure


def _add_up(rows):
    statistics = RegressionStatistics(len(rows.predictions))
    statistics.add(rows)
    return statistics


def _metrics(prediction, label, weight=None):
    return measure(_add_up(make_rows("regression", prediction, label, weight)), 0.95).candidate


def _xauc(prediction, label, weight):
    """Over all pairs, in a loop."""
    ordered = of = 0.0
    for i in range(len(label)):
        for j in range(len(label)):
            if label[i] > label[j]:
                pair = weight[i] * weight[j]
                of += pair
                ordered += pair * (
                    1.0 if prediction[i] > prediction[j] else 0.5 * (prediction[i] == prediction[j])
                )
    return ordered / of


def test_errors_are_those_of_scikit_learn():
    random = np.random.default_rng(4)
    label, weight = random.exponential(60, 10_000), random.uniform(0, 2, 10_000)
    prediction = label + random.normal(2, 10, 10_000)
    values = _metrics(prediction, label, weight).values
    mae = oracle.mean_absolute_error(label, prediction, sample_weight=weight)
    rmse = oracle.root_mean_squared_error(label, prediction, sample_weight=weight)
    assert values["mae"] == pytest.approx(mae, rel=1e-9)
    assert values["rmse"] == pytest.approx(rmse, rel=1e-9)
    assert values["mean_label"] == pytest.approx(np.average(label, weights=weight), rel=1e-9)
    predicted = np.average(prediction, weights=weight)
    assert values["mean_prediction"] == pytest.approx(predicted, rel=1e-9)


def test_xauc_is_that_of_all_pairs():
    random = np.random.default_rng(5)
    label = np.round(random.exponential(3, 150))
    prediction = np.round(label + random.normal(0, 4, 150))
    weight = random.uniform(0.1, 2, 150)
    expected = _xauc(prediction, label, weight)
    assert _metrics(prediction, label, weight).values["xauc"] == pytest.approx(expected, rel=1e-5)


def test_xauc_without_a_group_is_that_of_the_other_rows():
    random = np.random.default_rng(6)
    label, weight = random.exponential(3, 90), random.uniform(0.1, 2, 90)
    prediction = label + random.normal(0, 4, 90)
    rows = make_rows("regression", prediction, label, weight)
    estimates = _add_up(rows).estimates()
    for group, left_out in zip(np.unique(rows.groups), estimates.left_out["xauc"], strict=True):
        rest = rows.groups != group
        expected = _xauc(prediction[rest], label[rest], weight[rest])
        assert left_out == pytest.approx(expected, rel=1e-5)


def test_xauc_of_many_rows_is_that_of_a_fixed_sample(monkeypatch):
    monkeypatch.setattr(regression, "MAX_XAUC_ROWS", 1000)
    random = np.random.default_rng(7)
    label = random.exponential(3, 20_000)
    prediction = label + random.normal(0, 4, 20_000)
    rows = make_rows("regression", prediction, label)
    one = RegressionStatistics(1)
    for part in np.array_split(random.permutation(20_000), 13):
        one.merge(_add_up(rows[part]))
    xauc = measure(one, 0.95).candidate.values["xauc"]
    assert xauc == pytest.approx(_metrics(prediction, label).values["xauc"], rel=1e-6)
    monkeypatch.undo()
    assert xauc == pytest.approx(_metrics(prediction, label).values["xauc"], abs=0.03)


def test_equal_labels_and_equal_predictions_leave_xauc_undefined():
    assert _metrics([1.0, 2.0], [3.0, 3.0]).undefined == {"xauc": "all labels are equal"}
    assert _metrics([1.0, 1.0], [3.0, 4.0]).undefined == {"xauc": "every prediction is 1"}


@pytest.mark.parametrize("wrong", [np.nan, -np.inf])
@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_one_wrong_prediction_leaves_everything_undefined(wrong, weight):
    measured = _metrics([0.2, wrong], [0.0, 1.0], [1.0, weight])
    assert measured.num_invalid == 1
    assert set(measured.undefined.values()) == {"1 prediction is not a finite number"}


def test_without_a_labelled_row_everything_is_undefined():
    measured = _metrics([0.2], [1.0], [0.0])
    assert set(measured.undefined.values()) == {"no row has a label"}
    assert set(measured.values) == set(measured.undefined)


def test_a_label_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"a label must be finite\. Received: nan"):
        make_rows("regression", [0.5], [np.nan])


_ROWS = st.lists(
    st.tuples(st.floats(-9, 9, width=16), st.floats(0, 9, width=16), st.integers(0, 3)),
    min_size=2,
    max_size=30,
)


@settings(max_examples=50, deadline=None)
@given(rows=_ROWS, seed=st.integers(0, 99))
def test_shards_in_any_order_and_repeated_rows_give_the_same(rows, seed):
    prediction, label, weight = (np.array(column) for column in zip(*rows, strict=True))
    random = np.random.default_rng(seed)
    all_rows = make_rows("regression", prediction, label, weight)
    one_pass = measure(_add_up(all_rows), 0.95).candidate
    merged = RegressionStatistics(1)
    for part in np.array_split(random.permutation(len(label)), 3):
        merged.merge(_add_up(all_rows[part]))
    times = weight.astype(int)
    repeated = _metrics(np.repeat(prediction, times), np.repeat(label, times))
    for other in (measure(merged, 0.95).candidate, repeated):
        values = {name: value for name, value in other.values.items() if value is not None}
        expected = {name: value for name, value in one_pass.values.items() if value is not None}
        assert values == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert other.undefined == one_pass.undefined
