"""Importance of columns, measured with a SavedModel whose answer is known."""

import numpy as np
import pytest

from taskroute.components.measures.rows import make_rows
from taskroute.components.report.importance import permutation_importance

NUM_ROWS = 4000


@pytest.fixture(scope="module")
def columns():
    random = np.random.default_rng(1)
    return {
        "useless": random.normal(size=NUM_ROWS).astype(np.float32),
        "weak": random.normal(size=NUM_ROWS).astype(np.float32),
        "strong": np.where(random.random(NUM_ROWS) < 0.5, "yes", "no"),
        "missing": np.full(NUM_ROWS, np.nan, np.float32),
    }


@pytest.fixture(scope="module")
def predict(tmp_path_factory):
    """A SavedModel that does not read `useless` and `missing`, as a function of arrays."""
    import tensorflow as tf

    class Planted(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string if name == "strong" else tf.float32, name)
                for name in ("useless", "weak", "strong", "missing")
            ]
        )
        def score(self, useless, weak, strong, missing):
            says_yes = tf.cast(tf.equal(strong, "yes"), tf.float32)
            logit = 2.0 * says_yes + 0.5 * weak
            return {"click": tf.sigmoid(logit), "seconds": 10.0 * says_yes + weak}

    folder = str(tmp_path_factory.mktemp("model"))
    planted = Planted()
    tf.saved_model.save(planted, folder, signatures={"raw_features": planted.score})
    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures["raw_features"]

    def scores(inputs):
        given = {name: tf.constant(values) for name, values in inputs.items()}
        return {name: values.numpy() for name, values in signature(**given).items()}

    scores.model = loaded
    return scores


@pytest.fixture(scope="module")
def rows(columns, predict):
    scores = predict(columns)
    random = np.random.default_rng(2)
    labels = {
        "click": random.random(NUM_ROWS) < scores["click"],
        "seconds": scores["seconds"] + random.normal(size=NUM_ROWS),
    }
    kinds = {"click": "binary", "seconds": "regression"}
    return {task: make_rows(kinds[task], scores[task], labels[task]) for task in kinds}


def test_a_planted_strong_column_ranks_first_and_useless_ones_last(columns, predict, rows):
    found = permutation_importance(predict, columns, rows, features={"weak": ["a", "b"]})
    names = [column.column for column in found.columns]
    assert names[:2] == ["strong", "weak"]
    assert found.columns[1].features == ("a", "b")
    for column in found.columns[2:]:
        assert all(abs(loss.value) < 1e-12 for loss in column.losses.values())
    assert found.metrics == {"click": "auc", "seconds": "mae"}


def test_a_loss_is_what_the_metric_loses_and_its_interval_holds_it(columns, predict, rows):
    found = permutation_importance(predict, columns, rows, repeats=5)
    strong = found.columns[0].losses
    # Half the pairs (row, other row) differ in `strong`, and then by 10.
    error = np.abs(rows["seconds"].predictions[0] - rows["seconds"].labels).mean()
    assert strong["seconds"].value == pytest.approx(5 - error / 2, rel=0.1)
    for loss in strong.values():
        assert 0 < loss.interval.low < loss.value < loss.interval.high


def test_the_same_seed_gives_the_same_losses(columns, predict, rows):
    first, second = (permutation_importance(predict, columns, rows, seed=7) for _ in range(2))
    assert first == second


def test_a_task_of_one_class_has_no_loss(columns, predict, rows):
    click = rows["click"]
    all_1 = make_rows("binary", click.predictions[0], np.ones(NUM_ROWS))
    found = permutation_importance(predict, columns, {"click": all_1}, repeats=1)
    assert all(column.losses == {"click": None} for column in found.columns)
