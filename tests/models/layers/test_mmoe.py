"""MMoE by hand, and as the shared bottom it contains."""

import numpy as np
import pytest

from taskroute.models.layers.mmoe import Mmoe
from taskroute.models.layers.shared_bottom import SharedBottom
from taskroute.schemas import trunks

TASKS = ("a", "b")


def mmoe(layers):
    layers = [{"experts": count, "units": units} for count, units in layers]
    return Mmoe(trunks.MmoeTrunk(layers=layers), TASKS)


def vectors(rows, width, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype("float32")


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def test_one_layer_computes_the_equation_of_the_paper():
    inputs = vectors(6, 5)
    trunk = mmoe(((3, (4,)),))
    outputs = trunk(inputs)
    experts = trunk.experts[0]
    features = [np.maximum(inputs @ w, 0) for w in np.split(experts.kernels[0][0].numpy(), 3, 1)]
    for task, w in zip(TASKS, np.split(trunk.gates[0].kernel[0].numpy(), 2, 1), strict=True):
        gates = softmax(inputs @ w)
        expected = sum(gates[:, i : i + 1] * features[i] for i in range(3))
        np.testing.assert_allclose(outputs[task], expected, atol=1e-6)


def test_an_upper_expert_is_an_internal_task_whose_gate_reads_the_raw_input():
    inputs = vectors(6, 5)
    trunk = mmoe(((3, (4,)), (2, (7,))))
    outputs = trunk(inputs)
    lower, upper = trunk.experts
    u = [np.maximum(inputs @ w, 0) for w in np.split(lower.kernels[0][0].numpy(), 3, 1)]
    v = []
    for o, w in enumerate(np.split(trunk.gates[0].kernel[0].numpy(), 2, 1)):
        gates = softmax(inputs @ w)
        mixed = sum(gates[:, i : i + 1] * u[i] for i in range(3))
        v.append(np.maximum(mixed @ upper.kernels[0][o].numpy(), 0))
    for task, w in zip(TASKS, np.split(trunk.gates[1].kernel[0].numpy(), 2, 1), strict=True):
        gates = softmax(inputs @ w)
        expected = sum(gates[:, o : o + 1] * v[o] for o in range(2))
        np.testing.assert_allclose(outputs[task], expected, atol=1e-6)


@pytest.mark.parametrize("layers", [((1, (8, 6)),), ((1, (8,)), (1, (6,)))])
def test_one_expert_everywhere_is_a_shared_bottom(layers):
    inputs = vectors(6, 5)
    trunk = mmoe(layers)
    shared = SharedBottom(trunks.SharedBottomTrunk(units=(8, 6)), TASKS)
    trunk(inputs)
    shared(inputs)
    weights = [
        weight
        for experts in trunk.experts
        for pair in zip(experts.kernels, experts.biases, strict=True)
        for weight in pair
    ]
    shared.body.set_weights([weight.numpy()[0] for weight in weights])
    for task in TASKS:
        np.testing.assert_allclose(trunk(inputs)[task], shared(inputs)[task], atol=1e-6)


def test_permuting_experts_permutes_the_usage_and_changes_no_output():
    inputs = vectors(40, 5)
    trunk = mmoe(((3, (4,)),))
    trunk(inputs, training=True)
    before, usage = trunk(inputs), trunk.routing()[-1].values.numpy()
    order = [2, 0, 1]
    other = mmoe(((3, (4,)),))
    other(inputs)
    kernel = trunk.experts[0].kernels[0].numpy().reshape(1, 5, 3, 4)[:, :, order].reshape(1, 5, 12)
    gate = trunk.gates[0].kernel.numpy().reshape(1, 5, 2, 3)[..., order].reshape(1, 5, 6)
    other.experts[0].kernels[0].assign(kernel)
    other.gates[0].kernel.assign(gate)
    other(inputs, training=True)
    for task in TASKS:
        np.testing.assert_allclose(other(inputs)[task], before[task], atol=1e-6)
    np.testing.assert_allclose(other.routing()[-1].values, usage[:, order], atol=1e-6)
