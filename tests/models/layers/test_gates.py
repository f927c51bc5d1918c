"""The hard concrete gate against its closed forms (Louizos et al. 2018; Ma et al. 2019)."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from taskroute.models.layers.gates import HardConcreteGate

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


def test_each_call_draws_new_noise_inside_a_graph():
    gate = HardConcreteGate((50,), log_alpha_start=0.0)
    gate.build()
    call = tf.function(lambda: gate(None, training=True))
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
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="Received"):
        HardConcreteGate(**arguments)
