"""Each head on labels whose mean is known: its best constant, its gradients, its extremes."""

import numpy as np
import pytest
import tensorflow as tf

from taskroute.models.heads.binary import joint_logits
from taskroute.models.task_heads import build_head
from taskroute.schemas.tasks import Task

SECONDS = {"column": "s", "minimum": 0}
LOG = {"column": "s", "transform": "log1p"}
TASKS = {
    "binary": Task(name="t", label={"column": "c"}),
    "mse": Task(name="t", kind="regression", label=SECONDS),
    "huber": Task(name="t", kind="regression", label=SECONDS, loss="huber", huber_delta=2.0),
    "log_mse": Task(name="t", kind="regression", label=LOG),
    "log_huber": Task(name="t", kind="regression", label=LOG, loss="huber"),
    "smeared": Task(name="t", kind="regression", label=LOG, smearing=True),
    "weighted_logistic": Task(name="t", kind="regression", label=SECONDS, loss="weighted_logistic"),
    "buckets": Task(name="t", kind="regression", label=SECONDS, loss="buckets", num_buckets=8),
}
RANDOM = np.random.default_rng(0)
WATCHED = np.where(RANDOM.random(4000) < 0.3, np.exp(RANDOM.normal(3, 1, 4000)), 0.0)


def make(name):
    head = build_head(TASKS[name])
    head.build((None, 3))
    return head


def labels_of(name):
    """As the loss sees them."""
    if name == "binary":
        return (WATCHED > 0).astype(float)
    return np.log1p(WATCHED) if TASKS[name].label.transform == "log1p" else WATCHED


def constants(head, rows):
    """Logits of a head whose kernel is 0."""
    head.kernel.assign(tf.zeros_like(head.kernel))
    return head(tf.zeros([rows, 3]))


@pytest.mark.parametrize("name", TASKS)
class TestEveryHead:
    def test_the_start_is_the_best_constant(self, name):
        head, labels = make(name), labels_of(name)
        weights = RANDOM.integers(0, 3, len(labels)).astype(float)
        stated = head.start(labels, weights)
        tensors = [tf.constant(column, tf.float32) for column in (labels, weights)]
        if name not in ("huber", "log_huber"):
            with tf.GradientTape() as tape:
                loss = head.loss(constants(head, len(labels)), *tensors)
            assert float(loss) == pytest.approx(stated, rel=1e-3)
            gradient = tape.gradient(loss, head.bias)
            np.testing.assert_allclose(gradient, np.zeros(head.units), atol=2e-3 * max(stated, 1))

    def test_a_masked_row_changes_neither_loss_nor_gradient(self, name):
        head = make(name)
        head.start(labels_of(name), np.ones(len(WATCHED)))

        def loss_and_gradient(inputs, labels, weights):
            inputs = tf.constant(inputs, tf.float32)
            with tf.GradientTape() as tape:
                loss = head.loss(head(inputs), tf.constant(labels), tf.constant(weights))
            return float(loss), tape.gradient(loss, head.kernel).numpy()

        rows = [[0.3, -1.0, 0.2], [2.0, 0.0, 1.0]]
        one = loss_and_gradient(rows, [1.0, 0.0], [1.0, 1.0])
        two = loss_and_gradient([*rows, [50.0] * 3], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0])
        assert one[0] == pytest.approx(two[0])
        np.testing.assert_allclose(one[1], two[1], rtol=1e-5)

    def test_a_batch_without_a_row_that_counts_gives_zero(self, name):
        head = make(name)
        inputs = tf.ones([2, 3])
        with tf.GradientTape() as tape:
            loss = head.loss(head(inputs), tf.constant([1.0, 0.0]), tf.zeros(2))
        assert float(loss) == 0
        np.testing.assert_array_equal(tape.gradient(loss, head.kernel), np.zeros(head.kernel.shape))

    def test_a_sample_without_a_row_starts_at_something_finite(self, name):
        head = make(name)
        loss = head.start(np.ones(5), np.zeros(5))
        assert np.isfinite(loss)
        assert np.all(np.isfinite(head.value(constants(head, 2))))

    @pytest.mark.parametrize("size", [-1e4, -30.0, 0.0, 30.0, 1e4])
    def test_extreme_logits_and_labels_give_finite_losses_gradients_and_values(self, name, size):
        head = make(name)
        head.start(labels_of(name), np.ones(len(WATCHED)))
        extreme = [0.0, 1.0] if name == "binary" else [0.0, 20.0 if "log" in name else 1e7]
        logits = size * tf.ones([2, head.units] if head.units > 1 else [2])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = head.loss(logits, tf.constant(extreme), tf.ones(2))
        assert np.isfinite(loss)
        assert np.all(np.isfinite(tape.gradient(loss, logits)))
        values = head.value(logits).numpy()
        assert values.shape == (2,)
        assert np.all(np.isfinite(values))
        assert head.row_losses(logits, tf.constant(extreme)).shape == (2,)


@pytest.mark.parametrize("name", ["mse", "weighted_logistic", "buckets"])
def test_the_constant_of_a_mean_is_the_mean(name):
    head = make(name)
    head.start(labels_of(name), np.ones(len(WATCHED)))
    np.testing.assert_allclose(head.value(constants(head, 1)), [WATCHED.mean()], rtol=1e-5)


def test_the_logarithm_goes_back_to_about_the_median_and_smearing_to_the_mean():
    watched = np.exp(np.random.default_rng(1).normal(3, 1, 20_000))
    labels = np.log1p(watched)
    values = {}
    for name in ("log_mse", "smeared"):
        head = make(name)
        head.start(labels, np.ones(len(labels)))
        logits = constants(head, len(labels))
        head.finish(logits, tf.constant(labels, tf.float32), tf.ones(len(labels)))
        values[name] = float(head.value(logits)[0])
    assert values["log_mse"] == pytest.approx(np.median(watched), rel=0.05)
    assert values["log_mse"] < 0.65 * watched.mean()
    assert values["smeared"] == pytest.approx(watched.mean(), rel=1e-3)


def test_smearing_weighs_rows_and_leaves_out_those_without_weight():
    head = make("smeared")
    logits, labels = tf.zeros([3]), tf.math.log(tf.constant([2.0, 4.0, 1e6]))
    head.finish(logits, labels, tf.constant([3.0, 1.0, 0.0]))
    np.testing.assert_allclose(head.value(logits), [2.5 - 1] * 3, rtol=1e-5)
    head.finish(logits, labels, tf.zeros(3))  # nothing to learn from: as it was
    np.testing.assert_allclose(head.value(logits), [2.5 - 1] * 3, rtol=1e-5)


def test_huber_is_a_square_that_goes_on_as_a_line():
    head = make("huber")
    losses = head.row_losses(tf.constant([0.0, 0.0, 5.0]), tf.constant([1.0, 2.0, 1.0]))
    np.testing.assert_allclose(losses, [1, 4, 2 * 2 * 4 - 2**2])


def test_the_odds_of_weighted_logistic_are_the_mean_even_where_most_rows_are_watched():
    watched = np.array([0.0, 10.0, 20.0, 30.0])  # three quarters: the paper's odds would be 60
    head = make("weighted_logistic")
    logits = tf.Variable([0.0])
    labels = tf.constant(watched, tf.float32)
    optimizer = tf.keras.optimizers.Adam(0.1)
    for _ in range(300):
        with tf.GradientTape() as tape:
            loss = head.loss(tf.tile(logits, [4]), labels, tf.ones(4))
        optimizer.apply_gradients([(tape.gradient(loss, logits), logits)])
    np.testing.assert_allclose(head.value(logits), [15.0], rtol=1e-3)


def test_buckets_part_zeros_then_rows_then_the_sum():
    head = make("buckets")
    labels = np.array([0.0] * 10 + [1.0, 2.0, 3.0, 4.0] * 5 + [100.0, 200.0])
    head.start(labels, np.ones(len(labels)))
    boundaries = head.boundaries.numpy()
    assert boundaries[0] == 0
    assert np.all(np.diff(boundaries[np.isfinite(boundaries)]) > 0)
    assert 100.0 in boundaries
    shares = tf.nn.softmax(head.bias).numpy()
    assert shares[0] == pytest.approx(10 / 32, rel=1e-5)
    assert head.means[0] == 0
    assert shares @ head.means.numpy() == pytest.approx(labels.mean(), rel=1e-5)


def test_buckets_of_fewer_distinct_labels_leave_some_unused():
    head = make("buckets")
    head.start(np.array([0.0, 7.0, 7.0, 7.0]), np.ones(4))
    np.testing.assert_allclose(head.value(constants(head, 1)), [5.25], rtol=1e-5)


def test_joint_logits_are_those_of_the_product():
    first, after = RANDOM.normal(size=(2, 50)) * 3
    product = 1 / (1 + np.exp(-first)) / (1 + np.exp(-after))
    expected = np.log(product / (1 - product))
    found = joint_logits(tf.constant(first, tf.float32), tf.constant(after, tf.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("first", "after"), [(-90.0, -90.0), (80.0, 90.0), (-90.0, 90.0)])
def test_joint_logits_have_gradients_where_probabilities_would_be_0_or_1(first, after):
    logits = [tf.constant([first]), tf.constant([after])]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        joint = joint_logits(*logits)
    assert np.isfinite(joint)
    assert sum(float(g[0]) for g in tape.gradient(joint, logits)) >= 0.99
