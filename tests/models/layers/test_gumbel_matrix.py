"""Gumbel-Matrix: by hand, and as the known models it contains."""

import numpy as np
import pytest
import tensorflow as tf

from taskroute.models.layers.gumbel_matrix import GumbelMatrix, RoutedExperts
from taskroute.models.layers.shared_bottom import SharedBottom
from taskroute.models.layers.single_task import SingleTask
from taskroute.schemas import trunks

TASKS = ("a", "b")
ON, OFF = 10.0, -10.0


def gumbel_matrix(layers, **fields):
    layers = [{"experts": count, "units": units} for count, units in layers]
    return GumbelMatrix(trunks.GumbelMatrixTrunk(layers=layers, **fields), TASKS)


def vectors(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def set_matrix(gate, matrix):
    on = np.where(np.asarray(matrix) > 0, ON, OFF)
    gate.logits.assign(np.stack([on, np.zeros_like(on)], axis=-1))


def test_a_task_takes_the_mean_of_its_experts_in_every_layer():
    inputs = vectors(6, 5)
    trunk = gumbel_matrix(((3, (4,)), (2, (7,))))
    trunk(inputs)
    set_matrix(trunk.gates[0], [[1, 0, 1], [0, 1, 0]])
    set_matrix(trunk.gates[1], [[1, 0], [1, 1]])
    first, second = trunk.experts
    f = [np.maximum(inputs @ w, 0) for w in np.split(first.kernels[0].numpy()[0], 3, axis=1)]
    g = np.split(second.kernels[0].numpy()[0], 2, axis=1)
    of_a = np.maximum((f[0] + f[2]) / 2 @ g[0], 0)
    of_b = (np.maximum(f[1] @ g[0], 0) + np.maximum(f[1] @ g[1], 0)) / 2
    outputs = trunk(inputs)
    np.testing.assert_allclose(outputs["a"], of_a, atol=1e-6)
    np.testing.assert_allclose(outputs["b"], of_b, atol=1e-6)
    np.testing.assert_array_equal(trunk.routing()[0].values, [[0.5, 0, 0.5], [0, 1, 0]])


@pytest.mark.parametrize("training", [False, True])
def test_one_expert_everywhere_is_a_shared_bottom(training):
    inputs = vectors(6, 5)
    trunk = gumbel_matrix(((1, (8,)), (1, (6,))), start_probability=1 - 1e-7)
    shared = SharedBottom(trunks.SharedBottomTrunk(units=(8, 6)), TASKS)
    trunk(inputs)
    shared(inputs)
    weights = [w for x in trunk.experts for w in (x.kernels[0][0], x.biases[0][0])]
    shared.body.set_weights([weight.numpy() for weight in weights])
    outputs = trunk(inputs, training=training)
    for task in TASKS:
        np.testing.assert_allclose(outputs[task], shared(inputs)[task], atol=1e-6)


def test_equal_experts_for_all_are_a_shared_bottom():
    inputs = vectors(6, 5)
    trunk = gumbel_matrix(((3, (4,)),))
    shared = SharedBottom(trunks.SharedBottomTrunk(units=(4,)), TASKS)
    shared(inputs)
    trunk(inputs)
    set_matrix(trunk.gates[0], np.ones((2, 3)))
    trunk.experts[0].kernels[0].assign(np.tile(shared.body.get_weights()[0], [1, 1, 3]))
    for task in TASKS:
        np.testing.assert_allclose(trunk(inputs)[task], shared(inputs)[task], atol=1e-6)


def test_a_diagonal_matrix_is_a_separate_network_for_each_task():
    inputs = vectors(6, 5)
    trunk = gumbel_matrix(((2, (4,)), (2, (3,))))
    single = SingleTask(trunks.SingleTaskTrunk(units=(4, 3)), TASKS)
    trunk(inputs)
    single(inputs)
    for gate in trunk.gates:
        set_matrix(gate, np.eye(2))
    kernel = trunk.experts[1].kernels[0].numpy()[0]
    single.networks.kernels[0].assign(trunk.experts[0].kernels[0])
    single.networks.kernels[1].assign(np.stack(np.split(kernel, 2, axis=1)))
    for task in TASKS:
        np.testing.assert_allclose(trunk(inputs)[task], single(inputs)[task], atol=1e-6)


@pytest.mark.parametrize("matrix", [[[0.5, 0, 0.5], [0, 1, 0]], [[0, 0, 0], [0.2, 0.3, 0.4]]])
def test_the_gradient_of_relu_experts_is_that_of_tensorflow(matrix):
    experts = RoutedExperts(3, (4,))
    inputs = tf.constant(vectors(2, 9, 5))
    matrix = tf.constant(matrix, tf.float32)
    experts((inputs, matrix))
    experts.biases[0].assign(vectors(1, 12, seed=1))
    signals = vectors(2, 9, 4, seed=2)
    kernel, bias = experts.kernels[0], experts.biases[0]

    def plain():
        features = tf.nn.relu(tf.einsum("tbd,dk->tbk", inputs, kernel[0]) + bias[0])
        return tf.einsum("tbcu,tc->tbu", tf.reshape(features, [2, 9, 3, 4]), matrix)

    gradients = []
    for compute in (lambda: experts((inputs, matrix)), plain):
        with tf.GradientTape() as tape:
            tape.watch([inputs, matrix])
            outputs = compute()
        sources = [inputs, matrix, kernel, bias]
        gradients.append([outputs, *tape.gradient(outputs, sources, output_gradients=signals)])
    for ours, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_an_expert_that_is_off_still_tells_whether_it_would_help():
    inputs = vectors(6, 5)
    trunk = gumbel_matrix(((3, (4,)), (3, (4,))))
    trunk(inputs)
    for gate in trunk.gates:
        set_matrix(gate, [[1, 0, 0], [0, 1, 0]])
    off = np.array([[False, True, True], [True, False, True]])
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_sum(value) for value in trunk(inputs, training=True).values()])
    for gradient in tape.gradient(loss, trunk.routing_variables):
        assert np.all(gradient.numpy()[off] != 0)


def test_the_temperature_falls_with_the_root_of_the_step_to_its_end():
    trunk = gumbel_matrix(((2, (4,)),))
    trunk(vectors(2, 5))
    for step, expected in [(0, 50.0), (3, 25.0), (9_999, 0.5), (20_000, 0.5)]:
        trunk.step.assign(step)
        assert float(trunk.schedule()["temperature"]) == pytest.approx(expected, rel=1e-5)


def test_a_step_is_counted_for_each_training_call_and_no_other():
    trunk = gumbel_matrix(((2, (4,)), (2, (4,))))
    train = tf.function(lambda x: trunk(x, training=True))
    for _ in range(3):
        train(vectors(2, 5))
        trunk(vectors(2, 5))
    assert int(trunk.step) == 3


def test_a_resumed_temperature_goes_on_where_it_stopped(tmp_path):
    trunk = gumbel_matrix(((2, (4,)),))
    for _ in range(3):
        trunk(vectors(2, 5), training=True)
    path = tf.train.Checkpoint(trunk=trunk).save(str(tmp_path / "checkpoint"))
    resumed = gumbel_matrix(((2, (4,)),))
    resumed(vectors(2, 5))
    tf.train.Checkpoint(trunk=resumed).restore(path).assert_consumed()
    assert float(resumed.schedule()["temperature"]) == pytest.approx(25.0)


@pytest.mark.parametrize(("budget", "expected"), [(0.25, 2 * 0.25), (0.5, 0.0), (None, None)])
def test_the_budget_is_charged_for_what_each_task_uses_beyond_it(budget, expected):
    trunk = gumbel_matrix(((2, (4,)), (3, (4,))), budget=budget, budget_penalty=2.0)
    trunk(vectors(2, 5))
    # Of five experts task a uses half in expectation, task b almost none.
    for gate in trunk.gates:
        set_matrix(gate, np.zeros((2, gate.num_experts)))
        gate.logits[0].assign(tf.zeros([gate.num_experts, 2]))
    trunk(vectors(2, 5), training=True)
    assert len(trunk.losses) == (budget is not None)
    if budget is not None:
        assert trunk.losses[0].numpy() == pytest.approx(expected, abs=1e-4)


def test_every_example_of_a_batch_meets_the_same_matrix():
    inputs = np.repeat(vectors(1, 5), 8, axis=0)
    trunk = gumbel_matrix(((4, (4,)), (4, (4,))))
    outputs = trunk(inputs, training=True)
    for value in outputs.values():
        np.testing.assert_allclose(value, np.repeat(value[:1], 8, axis=0), atol=1e-6)


def test_a_task_that_lost_its_experts_is_named():
    trunk = gumbel_matrix(((2, (4,)), (2, (4,))))
    trunk(vectors(2, 5))
    assert trunk.guarded_tasks() == ()
    set_matrix(trunk.gates[1], [[1, 0], [0, 0]])
    assert trunk.guarded_tasks() == ("b",)
