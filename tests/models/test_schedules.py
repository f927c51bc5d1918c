import pytest
import tensorflow as tf
import tf_keras as keras

from taskroute.models.schedules import (
    add_step_counter,
    inverse_square_root,
    learning_rate,
    linear_warm_up,
    next_step,
)
from taskroute.schemas.training import ConstantSchedule, CosineSchedule


@pytest.mark.parametrize(("step", "expected"), [(0, 8.0), (3, 4.0), (63, 1.0), (1000, 1.0)])
def test_an_inverse_square_root_falls_from_start_to_end(step, expected):
    value = inverse_square_root(tf.constant(float(step)), start=8.0, end=1.0)
    assert float(value) == pytest.approx(expected)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.0), (5, 0.5), (10, 1.0), (99, 1.0)])
def test_a_warm_up_rises_from_nothing_to_one(step, expected):
    assert float(linear_warm_up(tf.constant(float(step)), steps=10)) == pytest.approx(expected)


def test_a_warm_up_of_no_steps_is_over():
    assert float(linear_warm_up(tf.constant(0.0), steps=0)) == 1


def test_a_counter_gives_the_steps_before_and_is_saved_but_not_trained():
    layer = keras.layers.Layer()
    counter = add_step_counter(layer)
    step = tf.function(lambda: next_step(counter))
    assert [float(step()) for _ in range(3)] == [0, 1, 2]
    assert layer.get_weights() == [3]
    assert not layer.trainable_weights


def test_a_constant_rate_without_warm_up_is_a_number():
    assert learning_rate(ConstantSchedule(), 0.5) == 0.5


@pytest.mark.parametrize(("step", "expected"), [(0, 0.25), (1, 0.5), (3, 1.0), (50, 1.0)])
def test_a_constant_rate_is_warmed_up_from_its_first_part(step, expected):
    rate = learning_rate(ConstantSchedule(warmup_steps=4), 1.0)
    assert float(rate(step)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 1.0), (1, 2.0), (2, 2.0), (7, 1.1), (12, 0.2), (99, 0.2)]
)
def test_a_cosine_falls_to_its_end_after_the_warm_up(step, expected):
    rate = learning_rate(CosineSchedule(warmup_steps=2, decay_steps=10, end=0.1), 2.0)
    assert float(rate(step)) == pytest.approx(expected)
