"""SNR-Trans: by hand, and as the known models it contains."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.shared_bottom import SharedBottom
from taskroute.models.layers.sub_network_routing import SnrTrans, SnrTransConnection

OPEN, CLOSED = 10.0, -10.0


def vectors(rows, width, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype("float32")


def set_coding(connection, coding):
    connection.gate.log_alpha.assign(np.where(np.asarray(coding) > 0, OPEN, CLOSED))


def test_a_connection_computes_the_sum_of_the_paper():
    connection = SnrTransConnection(2, 4, num_lower=3)
    inputs = vectors(5, 6)
    connection(inputs)
    log_alpha = vectors(2, 3, seed=1)
    connection.gate.log_alpha.assign(log_alpha)
    z = np.clip(1 / (1 + np.exp(-log_alpha)) * 1.2 - 0.1, 0, 1)
    kernel = connection.kernel.numpy().reshape(3, 2, 2, 4)
    expected = np.zeros((5, 2, 4))
    for o in range(2):
        for i in range(3):
            expected[:, o] += z[o, i] * inputs[:, 2 * i : 2 * i + 2] @ kernel[i, :, o]
    expected = np.maximum(expected, 0).reshape(5, 8)
    np.testing.assert_allclose(connection(inputs), expected, atol=1e-6)


def snr_and_shared_bottom():
    inputs = vectors(8, 5)
    snr = SnrTrans(("a", "b"), layers=((3, 4), (2, 6)), task_units=7)
    shared = SharedBottom(("a", "b"), units=(12, 12))
    snr(inputs)
    shared(inputs)
    return inputs, snr, shared


def test_all_gates_open_is_a_shared_bottom():
    inputs, snr, shared = snr_and_shared_bottom()
    for connection in snr.connections:
        connection.gate.log_alpha.assign(tf.fill(connection.gate.shape, OPEN))
    middle = snr.connections[0]
    shared.body.set_weights([*snr.first.get_weights(), middle.kernel.numpy(), middle.bias.numpy()])
    body = shared(inputs)
    last = snr.connections[-1]
    for index, task in enumerate(("a", "b")):
        first_tower_layer = keras.layers.Dense(7, activation="relu")
        first_tower_layer.build((None, 12))
        columns = slice(7 * index, 7 * index + 7)
        first_tower_layer.set_weights([last.kernel.numpy()[:, columns], last.bias.numpy()[columns]])
        np.testing.assert_allclose(snr(inputs)[task], first_tower_layer(body[task]), atol=1e-6)


def test_a_diagonal_coding_is_a_separate_network_for_each_task():
    inputs = vectors(8, 5)
    snr = SnrTrans(("a", "b"), layers=((2, 4), (2, 3)), task_units=6)
    snr(inputs)
    for connection in snr.connections:
        set_coding(connection, np.eye(2))
    outputs = snr(inputs)
    kernel, bias = snr.first.get_weights()
    for index, task in enumerate(("a", "b")):
        x = np.maximum(inputs @ kernel + bias, 0)[:, 4 * index : 4 * index + 4]
        for connection, units_in, units_out in zip(snr.connections, (4, 3), (3, 6), strict=True):
            rows = slice(units_in * index, units_in * (index + 1))
            columns = slice(units_out * index, units_out * (index + 1))
            block = connection.kernel.numpy()[rows, columns]
            x = np.maximum(x @ block + connection.bias.numpy()[columns], 0)
        np.testing.assert_allclose(outputs[task], x, atol=1e-6)


def test_a_closed_connection_changes_nothing_above_it():
    inputs = vectors(8, 5)
    connection = SnrTransConnection(2, 3, num_lower=5)
    connection(inputs)
    set_coding(connection, [[1, 1, 0, 1, 1], [1, 1, 1, 1, 1]])
    changed = inputs.copy()
    changed[:, 2] += 100
    before, after = connection(inputs).numpy(), connection(changed).numpy()
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert np.any(before[:, 3:] != after[:, 3:])


def test_a_task_whose_gates_all_closed_keeps_its_strongest_connection():
    snr = SnrTrans(("a", "b"), layers=((3, 4),), task_units=2)
    snr(vectors(2, 5))
    last = snr.connections[-1]
    last.gate.log_alpha.assign([[-9.0, -5.0, -7.0], [OPEN, CLOSED, CLOSED]])
    expected = [[0, 1, 0], [1, 0, 0]]
    np.testing.assert_array_equal(snr.routing()[-1].values, expected)
    np.testing.assert_array_equal(last.coding_matrix(training=True)[0], expected[0])


def test_the_penalty_is_lambda_times_the_open_connections_and_is_added_once():
    inputs = vectors(8, 5)
    snr = SnrTrans(("a", "b"), layers=((3, 4), (2, 6)), task_units=7, l0_penalty=0.25)
    snr(inputs, training=True)
    expected = 0.25 * sum(connection.gate.expected_l0().numpy() for connection in snr.connections)
    assert len(snr.losses) == 1
    assert snr.losses[0].numpy() == pytest.approx(expected)


def test_no_penalty_at_inference():
    snr = SnrTrans(("a", "b"), layers=((3, 4),), task_units=7)
    snr(vectors(8, 5))
    assert not snr.losses


def test_every_example_of_a_batch_meets_the_same_gates():
    inputs = np.repeat(vectors(1, 5), 8, axis=0)
    snr = SnrTrans(("a", "b"), layers=((3, 4), (2, 6)), task_units=7, gate={"log_alpha_start": 0.0})
    outputs = snr(inputs, training=True)["a"].numpy()
    np.testing.assert_allclose(outputs, np.repeat(outputs[:1], 8, axis=0), atol=1e-6)


def test_a_closed_gate_still_learns_through_the_penalty():
    connection = SnrTransConnection(1, 2, num_lower=2)
    connection(vectors(4, 4))
    set_coding(connection, [[0, 0]])
    with tf.GradientTape() as tape:
        penalty = connection.gate.expected_l0()
    gradient = tape.gradient(penalty, connection.gate.log_alpha).numpy()
    assert np.all(gradient > 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SnrTransConnection(0, 4, num_lower=2),
        lambda: SnrTransConnection(2, 4, num_lower=3)(vectors(2, 7)),
        lambda: SnrTrans(("a",), layers=(), task_units=2),
        lambda: SnrTrans(("a",), layers=((2, 0),), task_units=2),
        lambda: SnrTrans(("a",), layers=((2, 2),), task_units=2, l0_penalty=-1.0),
        lambda: SnrTrans((), layers=((2, 2),), task_units=2),
    ],
)
def test_arguments_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="Received"):
        make()
