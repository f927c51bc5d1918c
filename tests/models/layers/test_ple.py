"""PLE by hand, and as the known models it contains."""

import numpy as np

from taskroute.models.layers.ple import Ple
from taskroute.models.layers.shared_bottom import SharedBottom
from taskroute.models.layers.single_task import SingleTask
from taskroute.schemas import trunks

TASKS = ("a", "b")


def ple(levels):
    levels = [
        {"task_experts": own, "shared_experts": shared, "units": units}
        for own, shared, units in levels
    ]
    return Ple(trunks.PleTrunk(levels=levels), TASKS)


def vectors(rows, width, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype("float32")


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def mixed(gates, features):
    return sum(gates[:, i : i + 1] * feature for i, feature in enumerate(features))


def columns(variable, group, count):
    return np.split(variable.numpy()[group], count, axis=1)


def test_two_levels_compute_the_equations_of_the_paper():
    inputs = vectors(6, 5)
    trunk = ple(((2, 1, (4,)), (1, 2, (3,))))
    outputs = trunk(inputs)
    first, second = trunk.levels
    a1, a2, b1, b2, s1 = (
        np.maximum(inputs @ w, 0) for w in columns(first.experts[0].kernels[0], 0, 5)
    )
    gate_a, gate_b = columns(first.task_gates.kernel, 0, 2)
    of_a = mixed(softmax(inputs @ gate_a), [a1, a2, s1])
    of_b = mixed(softmax(inputs @ gate_b), [b1, b2, s1])
    shared_gate = softmax(inputs @ first.shared_gate.kernel[0].numpy())
    of_all = mixed(shared_gate, [a1, a2, b1, b2, s1])
    own, common = (experts.kernels[0] for experts in second.experts)
    shared = [np.maximum(of_all @ w, 0) for w in columns(common, 0, 2)]
    for index, (task, received) in enumerate(zip(TASKS, (of_a, of_b), strict=True)):
        experts = [np.maximum(received @ own.numpy()[index], 0), *shared]
        gates = softmax(received @ second.task_gates.kernel[index].numpy())
        np.testing.assert_allclose(outputs[task], mixed(gates, experts), atol=1e-5)


def test_only_levels_that_another_reads_have_a_shared_gate():
    trunk = ple(((1, 1, (4,)), (1, 1, (4,))))
    trunk(vectors(6, 5))
    assert hasattr(trunk.levels[0], "shared_gate")
    assert not hasattr(trunk.levels[1], "shared_gate")


def cgc_with_gates_on(expert):
    """CGC of one own and one shared expert whose gates all but choose the one or the other."""
    inputs = np.abs(vectors(8, 5)) + 0.1
    trunk = ple(((1, 1, (4,)),))
    trunk(inputs)
    gate = np.zeros((1, 5, 2, 2))
    gate[..., expert] = 1000.0
    trunk.levels[0].task_gates.kernel.assign(gate.reshape(1, 5, 4))
    kernel, bias = trunk.levels[0].experts[0].get_weights()
    return inputs, trunk, kernel, bias


def test_cgc_that_uses_own_experts_only_is_a_separate_network_for_each_task():
    inputs, trunk, kernel, bias = cgc_with_gates_on(0)
    single = SingleTask(trunks.SingleTaskTrunk(units=(4,)), TASKS)
    single(inputs)
    single.networks.set_weights([kernel[:, :, :8], bias[:, :8]])
    for task in TASKS:
        np.testing.assert_allclose(trunk(inputs)[task], single(inputs)[task], atol=1e-6)


def test_cgc_that_uses_the_shared_expert_only_is_a_shared_bottom():
    inputs, trunk, kernel, bias = cgc_with_gates_on(1)
    shared = SharedBottom(trunks.SharedBottomTrunk(units=(4,)), TASKS)
    shared(inputs)
    shared.body.set_weights([kernel[0, :, 8:], bias[0, 8:]])
    for task in TASKS:
        np.testing.assert_allclose(trunk(inputs)[task], shared(inputs)[task], atol=1e-6)


def test_no_route_leads_to_another_tasks_own_experts():
    trunk = ple(((2, 1, (4,)), (1, 2, (3,))))
    trunk(vectors(6, 5))
    lower, last = trunk.routing()
    assert lower.lower == ("1.a.1", "1.a.2", "1.b.1", "1.b.2", "1.shared.1")
    assert lower.upper == last.lower == ("2.a.1", "2.b.1", "2.shared.1", "2.shared.2")
    third, fifth = 1 / 3, 1 / 5
    expected = [[third, third, 0, 0, third], [0, 0, third, third, third], [fifth] * 5, [fifth] * 5]
    np.testing.assert_allclose(lower.values, expected, rtol=1e-6)
    np.testing.assert_allclose(
        last.values, [[third, 0, third, third], [0, third, third, third]], rtol=1e-6
    )
