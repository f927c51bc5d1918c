"""Rising maps from logit to logit: what they fit, and that no ranking changes."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from taskroute.models.calibration import (
    LogitMap,
    LogitSums,
    fit_calibrations,
    fit_isotonic,
    fit_platt,
)
from taskroute.models.ranker import MultiTaskRanker
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.serving import Calibration

METHODS = {"platt": fit_platt, "isotonic": fit_isotonic}


def make_rows(count, truth, seed=0, scale=1.5, shift=-2.0):
    """Logits of a model, and labels drawn from the probability of `truth(logit)`."""
    random = np.random.default_rng(seed)
    logits = random.normal(shift, scale, count).astype(np.float32)
    labels = (random.random(count) < expit(truth(logits))).astype(np.float32)
    return logits, labels


def sums_of(logits, labels, weights=None):
    sums = LogitSums()
    sums.add(logits, labels, np.ones_like(logits) if weights is None else weights)
    return sums.points()


def calibrated(method, logits, labels):
    return METHODS[method](*sums_of(logits, labels))


def test_platt_finds_the_line_that_the_labels_were_drawn_from():
    rise = calibrated("platt", *make_rows(400_000, lambda x: 0.6 * x - 0.8))
    assert rise.slope == pytest.approx(0.6, abs=0.02)
    at_zero = float(rise(tf.constant([0.0]))[0])
    assert at_zero == pytest.approx(-0.8, abs=0.03)


def test_isotonic_finds_a_curve_that_no_line_fits():
    def truth(x):
        return np.where(x > -2, 0.4 * x - 1.2, 2 * x + 2)

    logits, labels = make_rows(400_000, truth)
    grid = np.linspace(-4, 1, 50).astype(np.float32)
    errors = {
        method: np.abs(np.asarray(calibrated(method, logits, labels)(grid)) - truth(grid)).max()
        for method in METHODS
    }
    assert errors["isotonic"] < 0.45
    assert errors["isotonic"] < errors["platt"] / 2


@pytest.mark.parametrize("method", METHODS)
def test_the_mean_prediction_becomes_the_mean_label(method):
    logits, labels = make_rows(200_000, lambda x: 0.5 * x + 0.7)
    rise = calibrated(method, logits, labels)
    assert np.mean(expit(logits)) / labels.mean() < 0.8
    assert np.mean(expit(rise(logits))) / labels.mean() == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("truth", [lambda x: x, lambda x: 0 * x, lambda x: -x, np.sin])
def test_no_two_rows_change_places_and_none_become_equal(method, truth):
    """Also where the labels say that the model ranks at random, or the wrong way round."""
    logits, labels = make_rows(20_000, truth)
    rise = calibrated(method, logits, labels)
    assert np.all(np.diff(rise.knots) > 0)
    assert np.all(np.diff(rise.values) > 0)
    # Every float32 in a stretch around each knot, and the whole range beyond what was seen.
    near = np.array([np.nextafter(rise.knots, s * np.inf, dtype=np.float32) for s in (-1, 1)])
    everything = np.concatenate([logits, near.ravel(), rise.knots, np.linspace(-60, 60, 9999)])
    given = np.unique(everything.astype(np.float32))
    mapped = rise(tf.constant(given)).numpy()
    assert np.all(np.diff(mapped) >= 0)
    apart = np.append(True, np.diff(given) > 1e-3)
    assert np.all(np.diff(mapped[apart]) > 0)
    if labels.any() and truth(1.0) == 1.0:
        before = roc_auc_score(labels, logits)
        assert roc_auc_score(labels, rise(logits)) == pytest.approx(before, abs=1e-6)


def test_few_positive_rows_hardly_move_the_model():
    logits, labels = make_rows(300, lambda x: x + 1, shift=-4.0)
    moved = float(calibrated("platt", logits, labels)(tf.constant([-4.0]))[0]) + 4
    logits, labels = make_rows(100_000, lambda x: x + 1, shift=-4.0)
    certain = float(calibrated("platt", logits, labels)(tf.constant([-4.0]))[0]) + 4
    assert certain == pytest.approx(1, abs=0.1)
    assert moved < certain / 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_of_one_class_give_finite_numbers(method, label):
    logits, _ = make_rows(500, lambda x: x)
    rise = calibrated(method, logits, np.full_like(logits, label))
    assert np.isfinite(rise(logits)).all()


def test_rows_without_weight_do_not_count():
    logits, labels = make_rows(10_000, lambda x: 0.5 * x)
    weights = np.ones_like(logits)
    weights[5_000:] = 0
    labels_too = np.where(weights > 0, labels, 1.0).astype(np.float32)
    one = fit_platt(*sums_of(logits, labels_too, weights))
    other = fit_platt(*sums_of(logits[:5_000], labels[:5_000]))
    assert one.slope == pytest.approx(other.slope, rel=1e-6)


def test_not_a_number_stays_so():
    rise = LogitMap(np.array([0, 1], np.float32), np.array([0, 2], np.float32), 1.0)
    assert np.isnan(rise(tf.constant([np.nan])).numpy()).all()
    np.testing.assert_allclose(rise(tf.constant([-1.0, 0.5, 1.0, 3.0])), [-1, 1, 2, 4])


CONFIG = ModelConfig.model_validate(
    {
        "features": [{"name": "x", "kind": "dense", "transform": "none"}],
        "tasks": [
            {"name": "click", "label": {"column": "c"}},
            {"name": "like", "label": {"column": "l"}, "trained_where": "click"},
            {"name": "watch", "kind": "regression", "label": {"column": "w"}},
        ],
        "trunk": {"kind": "shared_bottom", "units": [4]},
    }
)


@pytest.fixture(scope="module")
def ranker_and_rows():
    keras.utils.set_random_seed(1)
    random = np.random.default_rng(0)
    rows = 5_000
    x = random.normal(size=rows)
    click = random.random(rows) < 0.3
    columns = {
        "x": x,
        "x_missing": np.zeros(rows),
        "label/click": click,
        "weight/click": np.ones(rows),
        "label/like": random.random(rows) < 0.6,
        "weight/like": click,
        "label/watch": x,
        "weight/watch": np.ones(rows),
    }
    dataset = tf.data.Dataset.from_tensor_slices(
        {name: values.astype(np.float32) for name, values in columns.items()}
    )
    ranker = MultiTaskRanker(CONFIG, {})
    return ranker, dataset.batch(1_000), columns


def test_each_task_is_calibrated_as_asked_on_the_rows_that_count_for_it(ranker_and_rows):
    ranker, dataset, columns = ranker_and_rows
    (batch,) = dataset.unbatch().batch(5_000)
    before = {name: x.numpy() for name, x in ranker.predict_values(batch).items()}
    asked = Calibration(method="platt", tasks={"like": "isotonic"})
    found = fit_calibrations(ranker, dataset, asked)
    assert {name: task.method for name, task in found.items()} == {
        "click": "platt",
        "like": "isotonic",
    }
    after = {name: x.numpy() for name, x in ranker.predict_values(batch).items()}
    np.testing.assert_array_equal(after["watch"], before["watch"])
    for name in found:
        counts = columns[f"weight/{name}"] > 0
        rate = columns[f"label/{name}"][counts].mean()
        ratios = [values[name][counts].mean() / rate for values in (before, after)]
        assert found[name].before.calibration == pytest.approx(ratios[0], abs=1e-3)
        assert found[name].after.calibration == pytest.approx(ratios[1], abs=1e-3)
        assert ratios[1] == pytest.approx(1, abs=0.04)
        assert abs(ratios[0] - 1) > 0.05
        assert found[name].after.log_loss < found[name].before.log_loss


def test_none_is_no_calibration(ranker_and_rows):
    ranker, dataset, _ = ranker_and_rows
    ranker.calibrations = {}
    assert fit_calibrations(ranker, dataset, Calibration(method="none")) == {}
    assert ranker.calibrations == {}


def test_a_task_without_a_row_in_validation_stays_as_it_is(ranker_and_rows):
    ranker, dataset, _ = ranker_and_rows
    alone = dataset.map(lambda rows: {**rows, "weight/like": tf.zeros_like(rows["weight/like"])})
    assert set(fit_calibrations(ranker, alone, Calibration())) == {"click"}
    assert set(ranker.calibrations) == {"click"}
