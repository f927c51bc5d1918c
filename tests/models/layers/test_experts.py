"""Parallel experts against one dense layer at a time."""

import numpy as np
import pytest
import tensorflow as tf

from taskroute.models.layers.experts import Experts, mix

BATCH = 7


def inputs_of(groups, width):
    return np.random.default_rng(0).normal(size=(groups, BATCH, width)).astype("float32")


def one_by_one(experts, inputs):
    """(E, B, U) by a loop over experts and layers."""
    each = experts.num_experts // experts.num_inputs
    outputs = [inputs[index // each] for index in range(experts.num_experts)]
    for kernel, bias in zip(experts.kernels, experts.biases, strict=True):
        per_group = experts.num_experts // kernel.shape[0]
        for index, x in enumerate(outputs):
            group, place = divmod(index, per_group)
            w = np.split(kernel.numpy()[group], per_group, axis=1)[place]
            b = np.split(bias.numpy()[group], per_group)[place]
            outputs[index] = np.tanh(x @ w + b)
    return np.stack(outputs)


@pytest.mark.parametrize("experts_first", [False, True])
@pytest.mark.parametrize("units", [(5,), (5, 4), (5, 4, 3)])
@pytest.mark.parametrize(("num_experts", "num_inputs"), [(1, 1), (4, 1), (4, 2), (4, 4)])
def test_experts_are_separate_networks(num_experts, num_inputs, units, experts_first):
    inputs = inputs_of(num_inputs, 6)
    experts = Experts(
        num_experts,
        units,
        num_inputs=num_inputs,
        experts_first=experts_first,
        activation="tanh",
    )
    experts(inputs)
    for bias in experts.biases:
        bias.assign(np.random.default_rng(1).normal(size=bias.shape))
    expected = one_by_one(experts, inputs)
    outputs = experts(inputs).numpy()
    if not experts_first:
        expected = expected.transpose(1, 0, 2)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


def test_one_input_may_come_without_its_axis():
    inputs = inputs_of(1, 6)
    experts = Experts(3, (4,))
    np.testing.assert_array_equal(experts(inputs[0]), experts(inputs))


def test_weights_start_within_each_experts_own_limits():
    experts = Experts(50, (8,))
    experts(inputs_of(1, 10))
    kernel = experts.kernels[0].numpy()
    limit = np.sqrt(6 / (10 + 8))
    assert 0.98 * limit < np.abs(kernel).max() <= limit


def test_macs_are_those_of_the_separate_networks():
    experts = Experts(4, (5, 3), num_inputs=2)
    experts(inputs_of(2, 6))
    assert experts.macs() == 4 * (6 * 5 + 5 * 3)


def test_mix_sums_with_common_factors():
    inputs = inputs_of(3, 4)
    weights = np.random.default_rng(1).normal(size=(2, 3)).astype("float32")
    expected = np.einsum("oi,ibu->obu", weights, inputs)
    np.testing.assert_allclose(mix(tf.constant(weights), tf.constant(inputs)), expected, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Experts(0, (4,)),
        lambda: Experts(2, ()),
        lambda: Experts(3, (4,), num_inputs=2),
        lambda: Experts(4, (4,), num_inputs=2)(inputs_of(3, 6)),
    ],
)
def test_arguments_that_do_not_fit_are_refused(make):
    with pytest.raises(ValueError, match="Received"):
        make()
