"""The gates against their closed forms."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from taskroute.models.layers.gates import GumbelMatrixGate, HardConcreteGate, SoftmaxGate

DRAWS = 100_000
# (temperature, stretch, log_alpha)
SETTINGS = [
    (2 / 3, (-0.1, 1.1), 0.0),
    (0.5, (-1.0, 2.0), 0.5),
    (0.9, (-0.3, 1.6), -1.0),
]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def draws(temperature, stretch, log_alpha):
    tf.random.set_seed(7)
    gate = HardConcreteGate(
        (DRAWS,), temperature=temperature, stretch=stretch, log_alpha_start=log_alpha
    )
    return gate(None, training=True).numpy()


def assert_share(observed, expected):
    error = math.sqrt(expected * (1 - expected) / DRAWS)
    assert abs(observed.mean() - expected) < 3 * error


@pytest.mark.parametrize(("temperature", "stretch", "log_alpha"), SETTINGS)
def test_a_drawn_gate_is_closed_as_often_as_the_closed_form_says(temperature, stretch, log_alpha):
    left, right = stretch
    z = draws(temperature, stretch, log_alpha)
    assert_share(z == 0, 1 - sigmoid(log_alpha - temperature * math.log(-left / right)))


@pytest.mark.parametrize(("temperature", "stretch", "log_alpha"), SETTINGS)
def test_a_drawn_gate_is_fully_open_as_often_as_the_closed_form_says(
    temperature, stretch, log_alpha
):
    left, right = stretch
    z = draws(temperature, stretch, log_alpha)
    odds = math.log((1 - left) / (right - 1))
    assert_share(z == 1, 1 - sigmoid(temperature * odds - log_alpha))


def test_the_numbers_of_the_default_setting_are_those_worked_out_by_hand():
    z = draws(2 / 3, (-0.1, 1.1), 0.0)
    assert_share(z > 0, 0.8318)
    assert_share(z == 1, 0.1682)


@pytest.mark.parametrize(("temperature", "stretch", "log_alpha"), SETTINGS)
def test_expected_l0_counts_the_open_gates(temperature, stretch, log_alpha):
    gate = HardConcreteGate(
        (2, 3), temperature=temperature, stretch=stretch, log_alpha_start=log_alpha
    )
    gate.build()
    left, right = stretch
    expected = 6 * sigmoid(log_alpha - temperature * math.log(-left / right))
    assert gate.expected_l0().numpy() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("temperature", "stretch", "log_alpha"), SETTINGS)
def test_the_gradient_of_expected_l0_equals_a_finite_difference(temperature, stretch, log_alpha):
    gate = HardConcreteGate((1,), temperature=temperature, stretch=stretch)
    gate.build()

    def at(value):
        gate.log_alpha.assign([value])
        return gate.expected_l0()

    with tf.GradientTape() as tape:
        expected = at(log_alpha)
    gradient = tape.gradient(expected, gate.log_alpha).numpy()[0]
    step = 1e-2
    difference = (at(log_alpha + step) - at(log_alpha - step)).numpy() / (2 * step)
    assert gradient == pytest.approx(difference, rel=1e-2)


def test_the_served_gate_closes_and_opens_at_the_thresholds_worked_out_by_hand():
    gate = HardConcreteGate((4,))
    gate.build()
    gate.log_alpha.assign([-2.399, -2.397, 2.397, 2.399])
    z = gate(None).numpy()
    assert z[0] == 0 < z[1]
    assert z[2] < 1 == z[3]


def test_the_served_gate_does_not_depend_on_the_temperature():
    gates = [HardConcreteGate((1,), temperature=t, log_alpha_start=0.7) for t in (0.3, 0.9)]
    assert gates[0](None).numpy() == gates[1](None).numpy()


@pytest.mark.parametrize(
    "gate",
    [HardConcreteGate((50,), log_alpha_start=0.0), GumbelMatrixGate(5, 10)],
    ids=["hard_concrete", "gumbel_matrix"],
)
def test_each_call_draws_new_noise_inside_a_graph(gate):
    gate.build()
    call = tf.function(lambda: gate(tf.constant(1.0), training=True))
    assert np.any(call().numpy() != call().numpy())


@settings(max_examples=30, deadline=None)
@given(
    st.floats(-20, 20),
    st.floats(0.05, 0.95),
    st.floats(-1, -0.01),
    st.floats(1.01, 2),
)
def test_a_gate_stays_in_the_unit_interval(log_alpha, temperature, left, right):
    gate = HardConcreteGate(
        (20,), temperature=temperature, stretch=(left, right), log_alpha_start=log_alpha
    )
    for training in (False, True):
        z = gate(None, training=training).numpy()
        assert np.all((z >= 0) & (z <= 1))


@pytest.mark.parametrize(
    "arguments",
    [
        {"shape": ()},
        {"shape": (0, 2)},
        {"shape": (2,), "temperature": 1.0},
        {"shape": (2,), "stretch": (0.0, 1.1)},
        {"shape": (2,), "stretch": (-0.1, 1.0)},
    ],
)
def test_hard_concrete_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="Received"):
        HardConcreteGate(**arguments)


def test_only_a_row_that_is_closed_altogether_keeps_its_strongest_gate():
    gate = HardConcreteGate((3, 2), keep_one=True)
    gate.build()
    gate.log_alpha.assign([[-8.0, -5.0], [-8.0, 1.0], [3.0, 3.0]])
    np.testing.assert_array_equal(gate.guard(), [[False, True], [False, False], [False, False]])
    np.testing.assert_allclose(gate(None), [[0, 1], [0, 1 / (1 + np.exp(-1)) * 1.2 - 0.1], [1, 1]])


# Logits of a cell and the temperature of the draw, which must not matter to how often it is on.
GUMBEL_SETTINGS = [(0.5, 50.0), (0.97, 0.5), (0.2, 2.0)]


@pytest.mark.parametrize(("probability", "temperature"), GUMBEL_SETTINGS)
def test_a_cell_is_on_as_often_as_its_probability_says(probability, temperature):
    tf.random.set_seed(7)
    gate = GumbelMatrixGate(100, DRAWS // 100, start_probability=probability)
    gate.build()
    on = gate.allocation(tf.constant(temperature), training=True).numpy()
    assert set(np.unique(on)) == {0, 1}
    np.testing.assert_allclose(gate.probabilities(), probability, rtol=1e-5)
    # The guard turns on one cell of each row whose cells are all below one half.
    assert_share(on[~gate.guard().numpy()], probability)


def test_a_tie_is_on_at_inference():
    gate = GumbelMatrixGate(1, 3, start_probability=0.5)
    gate.build()
    np.testing.assert_allclose(gate(None), np.full((1, 3), 1 / 3), rtol=1e-6)


def test_a_task_takes_the_mean_of_the_experts_that_are_on():
    gate = GumbelMatrixGate(2, 4)
    gate.build()
    lead = [[1.0, -1.0, 2.0, -0.1], [-1.0, 0.1, -2.0, -3.0]]
    gate.logits.assign(np.stack([lead, np.zeros((2, 4))], axis=-1))
    np.testing.assert_array_equal(gate(None), [[0.5, 0, 0.5, 0], [0, 1, 0, 0]])


def test_a_task_without_an_expert_keeps_its_likeliest_also_while_training():
    gate = GumbelMatrixGate(2, 3)
    gate.build()
    lead = [[-9.0, -8.0, -9.0], [9.0, -9.0, -9.0]]
    gate.logits.assign(np.stack([lead, np.zeros((2, 3))], axis=-1))
    for training in (False, True):
        matrix = gate(tf.constant(0.5), training=training).numpy()
        np.testing.assert_array_equal(matrix > 0, [[False, True, False], [True, False, False]])


@pytest.mark.parametrize("temperature", [50.0, 0.5])
def test_the_gradient_of_a_cell_is_that_of_the_softmax_also_where_it_is_off(temperature):
    gate = GumbelMatrixGate(3, 5)
    gate.build()
    # Each row has a cell that is on at inference, or the guard would turn one on.
    gate.logits.assign(np.random.default_rng(0).normal([0.5, 0], 1, size=(3, 5, 2)))
    gate.noise.assign([7, 0])
    uniform = tf.random.stateless_uniform((3, 5, 2), [7, 0], np.finfo(np.float32).tiny, 1.0)
    factors = np.arange(15.0, dtype="float32").reshape(3, 5)
    with tf.GradientTape() as tape:
        on = gate.allocation(tf.constant(temperature), training=True)
        total = tf.reduce_sum(on * factors)
    gradient = tape.gradient(total, gate.logits)
    with tf.GradientTape() as tape:
        noise = -tf.math.log(-tf.math.log(uniform))
        soft = tf.nn.softmax((gate.logits + noise) / temperature)[..., 0]
        total = tf.reduce_sum(soft * factors)
    np.testing.assert_array_equal(on.numpy() == 1, soft.numpy() >= 0.5)
    assert 0 < on.numpy().sum() < 15
    np.testing.assert_allclose(gradient, tape.gradient(total, gate.logits), rtol=1e-4, atol=1e-5)


def test_the_divisor_of_the_mean_is_differentiated_through():
    gate = GumbelMatrixGate(1, 3)
    gate.build()
    gate.logits.assign([[[9.0, 0.0], [9.0, 0.0], [-9.0, 0.0]]])
    with tf.GradientTape() as tape:
        first = gate(tf.constant(1.0), training=True)[0, 0]
    d_first = tape.gradient(first, gate.logits).numpy()[0, :, 0]
    # w_1 = a_1 / (a_1 + a_2 + a_3) at (1, 1, 0): its derivatives are 1/4, -1/4, -1/4, each times
    # the slope of its own cell, which is never 0.
    assert d_first[0] > 0 > max(d_first[1], d_first[2])


def test_softmax_gates_are_those_of_each_upper_parts_own_matrix():
    inputs = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    gate = SoftmaxGate(2, 3, num_inputs=2)
    gates = gate(inputs).numpy()
    for upper in range(2):
        logits = np.exp(inputs[upper] @ gate.kernel.numpy()[upper])
        expected = logits / logits.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(gates[:, upper], expected, rtol=1e-5)


def test_usage_approaches_the_mean_gate_and_changes_only_while_training():
    inputs = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    gate = SoftmaxGate(2, 3)
    gates = gate(inputs).numpy()
    np.testing.assert_allclose(gate.usage, 1 / 3)
    train = tf.function(lambda: gate(inputs, training=True))
    for _ in range(600):
        train()
    np.testing.assert_allclose(gate.usage, gates.mean(axis=0), atol=2e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GumbelMatrixGate(0, 2),
        lambda: GumbelMatrixGate(2, 2, start_probability=1.0),
        lambda: SoftmaxGate(2, 0),
        lambda: SoftmaxGate(2, 3, num_inputs=3),
    ],
)
def test_arguments_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="Received"):
        make()
