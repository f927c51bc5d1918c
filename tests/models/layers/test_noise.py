"""Noise that follows from a weight, and dropout that draws it."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.gates import GumbelMatrixGate, HardConcreteGate
from taskroute.models.layers.noise import Dropout


def noisy(kind):
    layer, inputs = {
        "dropout": (Dropout(0.5), tf.ones([50])),
        "hard_concrete": (HardConcreteGate((5, 5)), None),
        "gumbel": (GumbelMatrixGate(20, 5), tf.constant(1.0)),
    }[kind]
    return layer, lambda: layer(inputs, training=True).numpy()


@pytest.mark.parametrize("kind", ["dropout", "hard_concrete", "gumbel"])
def test_draws_go_on_where_the_saved_weights_stopped(kind):
    first, draw = noisy(kind)
    draw()
    saved = first.get_weights()
    expected = [draw(), draw()]
    assert np.any(expected[0] != expected[1])
    second, draw = noisy(kind)
    draw()
    second.set_weights(saved)
    np.testing.assert_array_equal([draw(), draw()], expected)


def test_the_key_follows_from_the_seed():
    keys = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        layer, draw = noisy("dropout")
        draw()
        keys.append(layer.noise.numpy()[0])
    assert keys[0] == keys[1] != keys[2]


def test_dropout_keeps_the_mean_and_drops_its_share():
    layer = Dropout(0.3)
    dropped = layer(tf.ones([100_000]), training=True).numpy()
    assert np.mean(dropped == 0) == pytest.approx(0.3, abs=0.01)
    assert dropped.max() == pytest.approx(1 / 0.7)
    np.testing.assert_array_equal(layer(tf.ones([5])), np.ones(5))


def test_a_rate_of_zero_needs_no_weight():
    layer = Dropout(0.0)
    np.testing.assert_array_equal(layer(tf.ones([5]), training=True), np.ones(5))
    assert not layer.weights


def test_a_rate_out_of_range_is_refused():
    with pytest.raises(ValueError, match="`rate` must be in"):
        Dropout(1.0)
