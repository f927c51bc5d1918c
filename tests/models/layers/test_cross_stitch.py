"""Cross-stitch networks: by hand, and as the separate networks they contain."""

import numpy as np

from taskroute.models.layers.cross_stitch import CrossStitch
from taskroute.models.layers.single_task import SingleTask
from taskroute.schemas import trunks

TASKS = ("a", "b", "c")


def vectors(rows, width, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype("float32")


def test_every_layer_is_mixed_by_its_factors():
    inputs = vectors(6, 5)
    trunk = CrossStitch(trunks.CrossStitchTrunk(units=(4, 3)), TASKS)
    trunk(inputs)
    for index, alpha in enumerate(trunk.alphas):
        alpha.assign(vectors(3, 3, seed=index + 1))
    x = [inputs] * 3
    for index, (networks, alpha) in enumerate(zip(trunk.networks, trunk.alphas, strict=True)):
        kernel = networks.kernels[0].numpy()
        kernels = np.split(kernel[0], 3, axis=1) if index == 0 else kernel
        y = [np.maximum(x[t] @ kernels[t], 0) for t in range(3)]
        x = [sum(alpha.numpy()[t, s] * y[s] for s in range(3)) for t in range(3)]
    for index, task in enumerate(TASKS):
        np.testing.assert_allclose(trunk(inputs)[task], x[index], atol=1e-5)


def test_factors_of_own_networks_only_are_separate_networks():
    inputs = vectors(6, 5)
    trunk = CrossStitch(trunks.CrossStitchTrunk(units=(4, 3), own_start=1.0), TASKS)
    single = SingleTask(trunks.SingleTaskTrunk(units=(4, 3)), TASKS)
    trunk(inputs)
    single(inputs)
    for index, networks in enumerate(trunk.networks):
        single.networks.kernels[index].assign(networks.kernels[0])
    for task in TASKS:
        np.testing.assert_allclose(trunk(inputs)[task], single(inputs)[task], atol=1e-6)
    np.testing.assert_array_equal(trunk.routing()[-1].values, np.eye(3))


def test_factors_start_mostly_own_and_sum_to_one():
    trunk = CrossStitch(trunks.CrossStitchTrunk(units=(4,)), TASKS)
    trunk(vectors(6, 5))
    expected = [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]]
    np.testing.assert_allclose(trunk.alphas[0], expected, rtol=1e-6)


def test_a_negative_factor_counts_by_its_size_in_the_routing():
    trunk = CrossStitch(trunks.CrossStitchTrunk(units=(4,)), ("a", "b"))
    trunk(vectors(6, 5))
    trunk.alphas[0].assign([[3.0, -1.0], [0.0, 2.0]])
    np.testing.assert_allclose(trunk.routing()[0].values, [[0.75, 0.25], [0, 1]])
