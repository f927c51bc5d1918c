"""SNR: by hand, and as the known models it contains."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.shared_bottom import SharedBottom
from taskroute.models.layers.single_task import SingleTask
from taskroute.models.layers.sub_network_routing import (
    SnrAver,
    SnrAverConnection,
    SnrTrans,
    SnrTransConnection,
)
from taskroute.schemas import trunks

OPEN, CLOSED = 10.0, -10.0


def snr_trans(tasks, layers, **fields):
    layers = [{"sub_networks": count, "units": units} for count, units in layers]
    return SnrTrans(trunks.SnrTransTrunk(layers=layers, **fields), tasks)


def snr_aver(tasks, layers, **fields):
    layers = [{"sub_networks": count, "units": units} for count, units in layers]
    return SnrAver(trunks.SnrAverTrunk(layers=layers, **fields), tasks)


def vectors(rows, width, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype("float32")


def set_coding(connection, coding):
    connection.gate.log_alpha.assign(np.where(np.asarray(coding) > 0, OPEN, CLOSED))


def test_a_connection_computes_the_sum_of_the_paper():
    connection = SnrTransConnection(trunks.SnrTransTrunk(), 3, 2, 4)
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


def open_all(snr):
    for connection in snr.connections:
        connection.gate.log_alpha.assign(tf.fill(connection.gate.shape, OPEN))


def snr_and_shared_bottom():
    inputs = vectors(8, 5)
    snr = snr_trans(("a", "b"), ((3, 4), (2, 6)), task_units=7)
    shared = SharedBottom(trunks.SharedBottomTrunk(units=(12, 12)), ("a", "b"))
    snr(inputs)
    shared(inputs)
    return inputs, snr, shared


def test_all_gates_open_is_a_shared_bottom():
    inputs, snr, shared = snr_and_shared_bottom()
    open_all(snr)
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
    snr = snr_trans(("a", "b"), ((2, 4), (2, 3)), task_units=6)
    single = SingleTask(trunks.SingleTaskTrunk(units=(4, 3, 6)), ("a", "b"))
    snr(inputs)
    single(inputs)
    kernels, biases = [snr.first.kernel[tf.newaxis]], [snr.first.bias[tf.newaxis]]
    for connection, lower, upper in zip(snr.connections, (4, 3), (3, 6), strict=True):
        set_coding(connection, np.eye(2))
        blocks = connection.kernel.numpy().reshape(2, lower, 2, upper)
        kernels.append(np.stack([blocks[0, :, 0], blocks[1, :, 1]]))
        biases.append(connection.bias.numpy().reshape(2, upper))
    biases[0] = vectors(1, 8, seed=3)
    snr.first.bias.assign(biases[0][0])
    for variable, value in zip(single.networks.kernels, kernels, strict=True):
        variable.assign(value)
    for variable, value in zip(single.networks.biases, biases, strict=True):
        variable.assign(value)
    for task in ("a", "b"):
        np.testing.assert_allclose(snr(inputs)[task], single(inputs)[task], atol=1e-6)


def test_a_closed_connection_changes_nothing_above_it():
    inputs = vectors(8, 5)
    connection = SnrTransConnection(trunks.SnrTransTrunk(), 5, 2, 3)
    connection(inputs)
    set_coding(connection, [[1, 1, 0, 1, 1], [1, 1, 1, 1, 1]])
    changed = inputs.copy()
    changed[:, 2] += 100
    before, after = connection(inputs).numpy(), connection(changed).numpy()
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert np.any(before[:, 3:] != after[:, 3:])


def make_snr(kind, **fields):
    layers = ((3, 4), (2, 6))
    if kind == "trans":
        return snr_trans(("a", "b"), layers, task_units=7, **fields)
    return snr_aver(("a", "b"), layers, **fields)


each_kind = pytest.mark.parametrize("kind", ["trans", "aver"])


@each_kind
def test_what_closed_every_connection_keeps_its_strongest(kind):
    snr = make_snr(kind)
    snr(vectors(2, 5))
    middle, last = snr.connections
    assert snr.guarded_tasks() == ()
    middle.gate.log_alpha.assign([[-9.0, -5.0, -7.0], [OPEN, CLOSED, CLOSED]])
    last.gate.log_alpha.assign([[OPEN, CLOSED], [-9.0, -5.0]])
    np.testing.assert_array_equal(snr.routing()[0].values, [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(snr.routing()[1].values, [[1, 0], [0, 1]])
    np.testing.assert_array_equal(middle.gate(None, training=True)[0, 1], 1)
    assert snr.guarded_tasks() == ("b",)


@each_kind
@pytest.mark.parametrize("log_alpha", [1.0, -9.0])
def test_the_penalty_is_lambda_times_the_open_connections_and_is_added_once(kind, log_alpha):
    snr = make_snr(kind, l0_penalty=0.25, l0_warmup_steps=0)
    snr(vectors(8, 5))
    for connection in snr.connections:
        connection.gate.log_alpha.assign(tf.fill(connection.gate.shape, log_alpha))
    snr(vectors(8, 5), training=True)
    assert snr.num_connections == 3 * 2 + 2 * 2
    open_probability = 1 / (1 + np.exp(-(log_alpha - 2 / 3 * np.log(0.1 / 1.1))))
    expected_open = 10 * open_probability if log_alpha > 0 else 6 * open_probability + 4
    assert len(snr.losses) == 1
    assert snr.losses[0].numpy() == pytest.approx(0.25 / 10 * expected_open, rel=1e-5)


@each_kind
def test_the_penalty_of_a_trunk_that_is_all_open_is_l0_penalty_whatever_its_size(kind):
    snr = make_snr(kind, l0_penalty=0.25, l0_warmup_steps=0)
    snr(vectors(8, 5))
    open_all(snr)
    snr(vectors(8, 5), training=True)
    assert snr.losses[0].numpy() == pytest.approx(0.25, rel=1e-4)


@each_kind
def test_the_penalty_is_measured_by_the_loss_of_predicting_base_rates(kind):
    snr = make_snr(kind, l0_penalty=0.25, l0_warmup_steps=0)
    snr(vectors(8, 5))
    open_all(snr)
    snr.set_loss_scale(3.0)
    snr(vectors(8, 5), training=True)
    assert snr.losses[0].numpy() == pytest.approx(0.75, rel=1e-4)


def test_the_penalty_grows_from_nothing_over_its_warm_up():
    snr = make_snr("trans", l0_penalty=0.25, l0_warmup_steps=4, log_alpha_start=OPEN)
    penalties = []
    for _ in range(6):
        snr(vectors(8, 5), training=True)
        penalties.append(float(snr.losses[0]))
    np.testing.assert_allclose(penalties, 0.25 * np.minimum(np.arange(6) / 4, 1), rtol=1e-3)


def test_a_kept_connection_is_not_pushed_below_the_next():
    snr = make_snr("trans", l0_penalty=1.0, l0_warmup_steps=0)
    snr(vectors(8, 5))
    gate = snr.connections[-1].gate
    gate.log_alpha.assign([[-3.0, -3.1], [-3.0, -3.1]])
    with tf.GradientTape() as tape:
        penalty = gate.expected_l0()
    gradient = tape.gradient(penalty, gate.log_alpha).numpy()
    np.testing.assert_array_equal(gradient[:, 0], 0)
    assert np.all(gradient[:, 1] > 0)


def test_no_penalty_at_inference():
    snr = snr_trans(("a", "b"), ((3, 4),), task_units=7)
    snr(vectors(8, 5))
    assert not snr.losses


def test_every_example_of_a_batch_meets_the_same_gates():
    inputs = np.repeat(vectors(1, 5), 8, axis=0)
    snr = snr_trans(("a", "b"), ((3, 4), (2, 6)), task_units=7, log_alpha_start=0.0)
    outputs = snr(inputs, training=True)["a"].numpy()
    np.testing.assert_allclose(outputs, np.repeat(outputs[:1], 8, axis=0), atol=1e-6)


def test_a_closed_gate_still_learns_through_the_penalty():
    connection = SnrTransConnection(trunks.SnrTransTrunk(), 2, 1, 2)
    connection(vectors(4, 4))
    set_coding(connection, [[1, 0]])
    with tf.GradientTape() as tape:
        penalty = connection.gate.expected_l0()
    gradient = tape.gradient(penalty, connection.gate.log_alpha).numpy()
    assert np.all(gradient > 0)


def test_an_averaging_connection_sums_without_dividing():
    inputs = np.stack([vectors(5, 4, seed) for seed in range(3)])
    connection = SnrAverConnection(trunks.SnrAverTrunk(), 3, 2)
    connection(inputs)
    set_coding(connection, [[1, 1, 0], [1, 1, 1]])
    outputs = connection(inputs).numpy()
    np.testing.assert_allclose(outputs[0], inputs[0] + inputs[1], atol=1e-6)
    np.testing.assert_allclose(outputs[1], inputs.sum(axis=0), atol=1e-6)


def test_snr_aver_computes_the_sums_of_the_paper():
    inputs = vectors(5, 3)
    snr = snr_aver(("a", "b", "c"), ((2, 4), (3, 4)))
    snr(inputs)
    codings = []
    for index, connection in enumerate(snr.connections):
        connection.gate.log_alpha.assign(vectors(*connection.gate.shape, seed=index))
        codings.append(connection.gate(None).numpy())
    first, second = snr.sub_networks
    (kernel, bias), (kernel2, bias2) = (
        (layer.kernels[0].numpy(), layer.biases[0].numpy() + 0.1) for layer in (first, second)
    )
    first.biases[0].assign(bias)
    second.biases[0].assign(bias2)
    u = [np.maximum(inputs @ w + c, 0) for w, c in zip(*halves(kernel, bias, 2), strict=True)]
    v = [sum(codings[0][o, i] * u[i] for i in range(2)) for o in range(3)]
    v = [np.maximum(v[o] @ kernel2[o] + bias2[o], 0) for o in range(3)]
    for index, task in enumerate(("a", "b", "c")):
        expected = sum(codings[1][index, i] * v[i] for i in range(3))
        np.testing.assert_allclose(snr(inputs)[task], expected, atol=1e-5)


def halves(kernel, bias, count):
    return np.split(kernel[0], count, axis=1), np.split(bias[0], count)


def test_snr_aver_with_a_diagonal_coding_is_a_separate_network_for_each_task():
    inputs = vectors(8, 5)
    snr = snr_aver(("a", "b"), ((2, 4), (2, 3)))
    single = SingleTask(trunks.SingleTaskTrunk(units=(4, 3)), ("a", "b"))
    snr(inputs)
    single(inputs)
    for connection in snr.connections:
        set_coding(connection, np.eye(2))
    for index, sub_networks in enumerate(snr.sub_networks):
        single.networks.kernels[index].assign(sub_networks.kernels[0])
        single.networks.biases[index].assign(sub_networks.biases[0])
    for task in ("a", "b"):
        np.testing.assert_allclose(snr(inputs)[task], single(inputs)[task], atol=1e-6)


def test_snr_aver_of_one_sub_network_a_layer_is_a_shared_bottom():
    inputs = vectors(8, 5)
    snr = snr_aver(("a", "b"), ((1, 4), (1, 3)))
    shared = SharedBottom(trunks.SharedBottomTrunk(units=(4, 3)), ("a", "b"))
    snr(inputs)
    shared(inputs)
    open_all(snr)
    weights = [w for layer in snr.sub_networks for w in (layer.kernels[0][0], layer.biases[0][0])]
    shared.body.set_weights([weight.numpy() for weight in weights])
    for task in ("a", "b"):
        np.testing.assert_allclose(snr(inputs)[task], shared(inputs)[task], atol=1e-6)


@each_kind
def test_a_resumed_warm_up_goes_on_where_it_stopped(kind, tmp_path):
    snr = make_snr(kind, l0_warmup_steps=10)
    for _ in range(3):
        snr(vectors(8, 5), training=True)
    path = tf.train.Checkpoint(trunk=snr).save(str(tmp_path / "checkpoint"))
    resumed = make_snr(kind, l0_warmup_steps=10)
    resumed(vectors(8, 5))
    tf.train.Checkpoint(trunk=resumed).restore(path).assert_consumed()
    assert float(resumed.schedule()["l0_penalty"]) == pytest.approx(0.5 * 0.3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SnrTransConnection(trunks.SnrTransTrunk(), 2, 0, 4),
        lambda: SnrTransConnection(trunks.SnrTransTrunk(), 3, 2, 4)(vectors(2, 7)),
        lambda: SnrAverConnection(trunks.SnrAverTrunk(), 2, 0),
        lambda: SnrTrans(trunks.SnrTransTrunk(), ()),
    ],
)
def test_arguments_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="Received"):
        make()
