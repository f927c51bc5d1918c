import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from taskroute.models.losses import task_loss
from taskroute.models.metrics import LogitAuc
from taskroute.schemas.tasks import Label, Task

BINARY = Task(name="click", label=Label(column="c"))
REGRESSION = Task(name="watch", kind="regression", label=Label(column="w"))


def tensors(*columns):
    return [tf.Variable(column, dtype=tf.float32) for column in columns]


def test_cross_entropy_is_that_worked_out_by_hand():
    logits, labels, weights = tensors([0.0, np.log(3)], [1, 0], [1, 1])
    expected = (-np.log(0.5) - np.log(0.25)) / 2
    assert task_loss(BINARY, logits, labels, weights).numpy() == pytest.approx(expected)


def test_squared_error_is_that_worked_out_by_hand():
    logits, labels, weights = tensors([1.0, 5.0], [3, 4], [1, 3])
    expected = (4 * 1 + 1 * 3) / 4
    assert task_loss(REGRESSION, logits, labels, weights).numpy() == pytest.approx(expected)


@pytest.mark.parametrize("task", [BINARY, REGRESSION], ids=lambda task: task.kind)
def test_a_masked_row_changes_neither_loss_nor_gradient(task):
    def loss_and_gradient(logits, labels, weights):
        logits, labels, weights = tensors(logits, labels, weights)
        with tf.GradientTape() as tape:
            loss = task_loss(task, logits, labels, weights)
        return loss.numpy(), tape.gradient(loss, logits).numpy()

    loss, gradient = loss_and_gradient([0.3, -1.0], [1, 0], [1, 1])
    masked_loss, masked_gradient = loss_and_gradient([0.3, 50.0, -1.0], [1, 1, 0], [1, 0, 1])
    assert masked_loss == pytest.approx(loss)
    np.testing.assert_allclose(masked_gradient, [gradient[0], 0, gradient[1]])


@pytest.mark.parametrize("task", [BINARY, REGRESSION], ids=lambda task: task.kind)
def test_a_batch_without_a_row_that_counts_gives_zero(task):
    logits, labels, weights = tensors([5.0, -5.0], [0, 1], [0, 0])
    with tf.GradientTape() as tape:
        loss = task_loss(task, logits, labels, weights)
    assert loss.numpy() == 0
    np.testing.assert_array_equal(tape.gradient(loss, logits), [0, 0])


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
