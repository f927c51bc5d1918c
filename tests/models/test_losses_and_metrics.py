import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from taskroute.models.metrics import LogitAuc
from taskroute.models.task_heads import build_head
from taskroute.schemas.tasks import Label, Task

BINARY = build_head(Task(name="click", label=Label(column="c")))
REGRESSION = build_head(Task(name="watch", kind="regression", label=Label(column="w")))


def test_cross_entropy_is_that_worked_out_by_hand():
    loss = BINARY.loss(tf.constant([0.0, np.log(3)]), tf.constant([1.0, 0.0]), tf.ones(2))
    assert float(loss) == pytest.approx((-np.log(0.5) - np.log(0.25)) / 2)


def test_squared_error_is_that_worked_out_by_hand():
    columns = (tf.constant(column) for column in ([1.0, 5.0], [3.0, 4.0], [1.0, 3.0]))
    assert float(REGRESSION.loss(*columns)) == pytest.approx((4 * 1 + 1 * 3) / 4)


def test_a_mean_without_weight_is_zero():
    left_out = tf.constant([0.0])
    assert float(BINARY.loss(tf.constant([5.0]), tf.constant([1.0]), left_out)) == 0


@pytest.mark.parametrize("rate", [0.5, 0.01])
def test_auc_equals_scikit_learns_over_many_batches(rate):
    random = np.random.default_rng(3)
    labels = (random.random(50_000) < rate).astype("float32")
    logits = (random.normal(size=50_000) + labels - 3).astype("float32")
    weights = random.integers(0, 3, 50_000).astype("float32")
    metric = LogitAuc()
    for part in np.array_split(np.arange(50_000), 7):
        metric.update_state(labels[part], logits[part], weights[part])
    exact = roc_auc_score(labels, logits, sample_weight=weights)
    assert metric.result().numpy() == pytest.approx(exact, abs=1e-4)


def test_a_reset_auc_starts_anew():
    metric = LogitAuc()
    metric.update_state(tf.constant([0.0, 1.0]), tf.constant([2.0, 1.0]))
    assert metric.result().numpy() == 0
    metric.reset_state()
    metric.update_state(tf.constant([0.0, 1.0]), tf.constant([1.0, 2.0]))
    assert metric.result().numpy() == 1
