"""Products of features: by hand, and where they are known layers."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from taskroute.models.layers.interaction import CrossNetwork, DotProducts, NoInteraction
from taskroute.schemas.interactions import CrossInteraction

RANDOM = np.random.default_rng(0)


def drawn(*shape):
    return RANDOM.normal(size=shape).astype("float32")


def test_a_cross_layer_by_hand():
    layer = CrossNetwork(CrossInteraction(layers=1))
    layer(drawn(1, 2))
    kernel, bias = layer.weights
    kernel.assign([[1.0, 2.0], [3.0, 4.0]])
    bias.assign([0.5, -1.0])
    # W x = (1 * 2 + 3 * 3, 2 * 2 + 4 * 3) = (11, 16); times x, and x again.
    np.testing.assert_allclose(
        layer(tf.constant([[2.0, 3.0]])), [[2 * 11.5 + 2, 3 * 15 + 3]], rtol=1e-6
    )


def test_cross_layers_multiply_what_was_there_first():
    layer, first = CrossNetwork(CrossInteraction(layers=3)), drawn(5, 4)
    layer(first)
    crossed = first
    for kernel, bias in zip(layer.weights[::2], layer.weights[1::2], strict=True):
        bias.assign(drawn(4))
        crossed = first * (crossed @ kernel.numpy() + bias.numpy()) + crossed
    np.testing.assert_allclose(layer(first), crossed, rtol=1e-4, atol=1e-5)


def test_a_cross_of_low_rank_is_one_whose_matrix_is_a_product():
    low, whole, inputs = (
        CrossNetwork(CrossInteraction(layers=1, rank=2)),
        CrossNetwork(CrossInteraction(layers=1)),
        drawn(6, 5),
    )
    low(inputs), whole(inputs)
    narrow, wide, bias = low.weights
    assert (narrow.shape, wide.shape) == ((5, 2), (2, 5))
    bias.assign(drawn(5))
    whole.set_weights([narrow.numpy() @ wide.numpy(), bias.numpy()])
    np.testing.assert_allclose(low(inputs), whole(inputs), rtol=1e-4, atol=1e-5)
    assert (low.macs(), whole.macs()) == (2 * 5 * 2, 5 * 5)


def test_a_cross_without_weights_changes_nothing():
    layer, inputs = CrossNetwork(CrossInteraction(layers=2)), drawn(4, 3)
    layer(inputs)
    layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    np.testing.assert_array_equal(layer(inputs), inputs)


@pytest.mark.parametrize("number", [1e30, -1e30, np.inf])
def test_no_number_makes_a_product_infinite(number):
    layer = CrossNetwork(CrossInteraction(layers=8))
    outputs = layer(tf.constant([[1.0, number, -number]]))
    assert np.isfinite(outputs).all()


def test_dot_products_by_hand():
    layer = DotProducts(3, 2)
    embedded, numbers = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [7.0]
    # (3, 4) (1, 2), then (5, 6) with both.
    expected = [*embedded, *numbers, 3 + 8, 5 + 12, 15 + 24]
    np.testing.assert_allclose(layer(tf.constant([[*embedded, *numbers]])), [expected])
    assert layer.output_width(7) == 10
    assert layer.macs() == 3 * 3 * 2


def test_dot_products_are_those_of_the_library():
    embedded = drawn(9, 4 * 5)
    outputs = DotProducts(4, 5)(embedded)
    theirs = tfrs.layers.feature_interaction.DotInteraction()(tf.split(embedded, 4, axis=1))
    np.testing.assert_allclose(outputs[:, 20:], theirs, rtol=1e-6)
    np.testing.assert_array_equal(outputs[:, :20], embedded)


def test_no_interaction_costs_nothing():
    layer, inputs = NoInteraction(), drawn(3, 4)
    np.testing.assert_array_equal(layer(inputs), inputs)
    assert (layer.macs(), layer.output_width(4), layer.weights) == (0, 4, [])


@pytest.mark.parametrize(
    "make",
    [
        lambda: DotProducts(1, 4),
        lambda: DotProducts(2, 0),
    ],
)
def test_a_size_that_makes_no_sense_is_refused(make):
    with pytest.raises(ValueError, match="Received"):
        make()
