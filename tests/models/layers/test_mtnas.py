"""MTNAS-style trunks: known models as sub-graphs, and the network that a route leaves."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.mmoe import Mmoe
from taskroute.models.layers.mtnas import MtnasDerived, MtnasSupernet
from taskroute.models.layers.mtnas_blocks import RoutedBlocks, SearchBlocks
from taskroute.models.layers.mtnas_routes import LocalRoute, local_routes
from taskroute.models.layers.shared_bottom import SharedBottom
from taskroute.models.layers.sub_network_routing import SnrAver
from taskroute.schemas import trunks
from taskroute.schemas.routes import BlockRoute, ShareRoute

TASKS = ("a", "b", "c")
ROUTE_OF_A = ShareRoute(
    tasks=("a",), sub_networks=(2,), blocks=(BlockRoute(block="a", lower=("1.1",)),)
)


def mtnas(layers, route=None):
    layers = [{"sub_networks": count, "units": units} for count, units in layers]
    return trunks.MtnasTrunk(layers=layers, route=route)


def vectors(rows, width, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype("float32")


def set_weight(variable, seed):
    variable.assign(np.random.default_rng(seed).normal(size=variable.shape) / 2)


def built_supernet(layers, inputs):
    supernet = MtnasSupernet(mtnas(layers), TASKS)
    supernet(inputs)
    for seed, variable in enumerate(supernet.trainable_variables):
        set_weight(variable, seed)
    return supernet


def index_of(blocks, lower, query):
    return blocks.routes.index(LocalRoute(tuple(lower), query))


def select(supernet, *rows):
    """Sets each block's route: `(lower, query)` in the order of the blocks."""
    owners = [blocks for blocks in supernet.blocks for _ in range(blocks.num_upper)]
    indices = [index_of(blocks, *row) for blocks, row in zip(owners, rows, strict=True)]
    supernet.set_route(np.array(indices))
    return supernet.route(indices)


def derive(supernet, route):
    return MtnasDerived(mtnas(supernet.layer_sizes, route), TASKS)


def copy_weights(supernet, derived):
    """Weights of the supernet that the derived network has."""
    for layer, (above, below) in enumerate(
        zip(supernet.sub_networks, derived.sub_networks, strict=True)
    ):
        kept, (count, units) = derived.kept[layer], supernet.layer_sizes[layer]
        kernel, bias = above.kernels[0].numpy(), above.biases[0].numpy()
        if layer == 0:
            width = kernel.shape[1]
            kernel = kernel.reshape(width, count, units)[:, kept].reshape(1, width, -1)
            bias = bias.reshape(count, units)[kept].reshape(1, -1)
        else:
            kernel, bias = kernel[kept], bias[kept]
        below.kernels[0].assign(kernel)
        below.biases[0].assign(bias)
    for layer, (above, below) in enumerate(zip(supernet.blocks, derived.blocks, strict=True)):
        lower = derived.kept[layer]
        last = layer == len(supernet.blocks) - 1
        upper = range(len(TASKS)) if last else derived.kept[layer + 1]
        edges = [(upper[o], lower[i]) for o, i in below._edges["input"]]
        if edges:
            kernel = above.input_kernel.numpy()
            kernel = kernel.reshape(kernel.shape[1], above.num_upper, above.num_lower)
            columns = [kernel[:, o, i] for o, i in edges]
            below.input_kernel.assign(np.stack(columns, axis=1)[np.newaxis])
        edges = [(upper[o], lower[i]) for o, i in below._edges["lower"]]
        if edges:
            kernel = above.lower_kernel.numpy()
            below.lower_kernel.assign(np.stack([kernel[o, :, i] for o, i in edges])[..., None])


def test_the_routes_of_a_block_are_the_subsets_times_the_queries():
    routes = local_routes(3)
    assert len(routes) == 3 + 4 * 2
    assert routes[0] == LocalRoute((0,), "input")
    assert routes[-1] == LocalRoute((0, 1, 2), "lower")
    assert len(set(routes)) == len(routes)
    assert len(local_routes(6, ("input",))) == 2**6 - 1


def test_above_six_lower_sub_networks_only_singles_pairs_and_all_are_offered():
    routes = local_routes(8, ("input",))
    assert len(routes) == 8 + 28 + 1
    assert {len(route.lower) for route in routes} == {1, 2, 8}


def test_a_block_computes_the_gated_sum_of_what_it_selects():
    x, lower = vectors(5, 4), vectors(15, 6, seed=1).reshape(5, 3, 6)
    blocks = SearchBlocks(2, 3)
    blocks((x, lower))
    set_weight(blocks.input_kernel, 1)
    set_weight(blocks.lower_kernel, 2)
    blocks.route.assign(
        [index_of(blocks, (0, 2), "input"), index_of(blocks, (0, 1, 2), "lower")],
    )
    by_input = x @ blocks.input_kernel.numpy().reshape(4, 2, 3)[:, 0]
    by_lower = lower.mean(axis=1) @ blocks.lower_kernel.numpy()[1]
    odds = np.stack([np.exp(by_input) * [1, 0, 1], np.exp(by_lower)], axis=1)
    gates = odds / odds.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(blocks.gates((x, lower)), gates, atol=1e-6)
    np.testing.assert_allclose(blocks((x, lower)), gates @ lower, atol=1e-6)


def test_a_single_selected_sub_network_has_weight_exactly_one():
    x, lower = vectors(5, 4), vectors(15, 6, seed=1).reshape(5, 3, 6)
    blocks = SearchBlocks(3, 3)
    blocks((x, lower))
    set_weight(blocks.input_kernel, 1)
    blocks.route.assign([index_of(blocks, (place,), "input") for place in (1, 0, 2)])
    np.testing.assert_array_equal(
        blocks.gates((x, lower)), np.broadcast_to(np.eye(3)[[1, 0, 2]], (5, 3, 3))
    )
    np.testing.assert_array_equal(blocks((x, lower)), lower[:, [1, 0, 2]])


def test_everything_selected_by_the_input_is_an_mmoe():
    inputs = vectors(8, 5)
    supernet = built_supernet(((4, 6), (2, 7)), inputs)
    mmoe = Mmoe(
        trunks.MmoeTrunk(layers=[{"experts": 4, "units": 6}, {"experts": 2, "units": 7}]), TASKS
    )
    mmoe(inputs)
    everything = [((0, 1, 2, 3), "input")] * 2 + [((0, 1), "input")] * 3
    select(supernet, *everything)
    for mine, theirs in zip(supernet.sub_networks, mmoe.experts, strict=True):
        theirs.set_weights(mine.get_weights())
    for blocks, gate in zip(supernet.blocks, mmoe.gates, strict=True):
        gate.kernel.assign(blocks.input_kernel)
    expected = mmoe(inputs)
    for task, output in supernet(inputs).items():
        np.testing.assert_allclose(output, expected[task], atol=1e-6)


def test_one_block_a_layer_is_a_shared_bottom():
    inputs = vectors(8, 5)
    supernet = built_supernet(((1, 6), (1, 7)), inputs)
    shared = SharedBottom(trunks.SharedBottomTrunk(units=(6, 7)), TASKS)
    shared(inputs)
    weights = [part.get_weights() for part in supernet.sub_networks]
    shared.body.set_weights([np.squeeze(array, axis=0) for pair in weights for array in pair])
    for task, output in supernet(inputs).items():
        np.testing.assert_allclose(output, shared(inputs)[task], atol=1e-6)
    assert supernet.macs() == shared.macs()


def test_routes_with_even_gates_are_the_sparse_coding_of_snr_aver():
    inputs = vectors(8, 5)
    supernet = built_supernet(((3, 6), (2, 7)), inputs)
    snr = SnrAver(trunks.SnrAverTrunk(layers=mtnas(((3, 6), (2, 7))).layers), TASKS)
    snr(inputs)
    for mine, theirs in zip(supernet.sub_networks, snr.sub_networks, strict=True):
        for a, b in zip(mine.weights, theirs.weights, strict=True):
            b.assign(a)
    select(
        supernet,
        ((0, 2), "input"),
        ((1,), "input"),
        ((0,), "input"),
        ((1,), "input"),
        ((0, 1), "lower"),
    )
    for blocks in supernet.blocks:
        blocks.input_kernel.assign(tf.zeros_like(blocks.input_kernel))
        blocks.lower_kernel.assign(tf.zeros_like(blocks.lower_kernel))
    # A hard concrete gate is 1/2 at 0, closed far below and open far above.
    codings = [[[0.5, 0, 0.5], [0, 1, 0]], [[1, 0], [0, 1], [0.5, 0.5]]]
    for connection, coding in zip(snr.connections, codings, strict=True):
        logits = np.select([np.equal(coding, 0), np.equal(coding, 1)], [-10.0, 10.0], 0.0)
        connection.gate.log_alpha.assign(logits)
    expected = snr(inputs)
    for task, output in supernet(inputs).items():
        np.testing.assert_allclose(output, expected[task], atol=1e-6)


def random_routes(count):
    supernet = MtnasSupernet(mtnas(((3, 6), (4, 7), (2, 5))), TASKS)
    random = np.random.default_rng(5)
    return [random.integers(supernet.num_routes) for _ in range(count)]


@pytest.mark.parametrize("indices", random_routes(8), ids=str)
def test_the_derived_network_computes_what_the_supernet_does_with_its_route(indices):
    inputs = vectors(8, 5)
    supernet = built_supernet(((3, 6), (4, 7), (2, 5)), inputs)
    supernet.set_route(indices)
    derived = derive(supernet, supernet.route(indices))
    derived(inputs)
    copy_weights(supernet, derived)
    expected = supernet(inputs)
    for task, output in derived(inputs).items():
        np.testing.assert_allclose(output, expected[task], atol=1e-6)


@pytest.mark.parametrize("indices", random_routes(8), ids=str)
def test_the_cost_of_a_route_is_that_of_the_network_built_from_it(indices):
    supernet = MtnasSupernet(mtnas(((3, 6), (4, 7), (2, 5))), TASKS)
    derived = derive(supernet, supernet.route(indices))
    cost = derived.cost(5)
    derived(vectors(2, 5))
    assert cost.parameters == derived.parameters()
    supernet(vectors(2, 5))
    assert supernet.cost(5).parameters == supernet.parameters()
    products = sum(part.macs() for part in derived.sub_networks)
    assert cost.macs >= products
    assert derived.macs() == cost.macs


def test_what_no_task_reaches_is_not_built():
    inputs = vectors(8, 5)
    supernet = built_supernet(((4, 6), (3, 7)), inputs)
    route = select(
        supernet,
        ((0,), "input"),
        ((1, 2), "input"),
        ((3,), "input"),
        ((0,), "input"),
        ((2,), "input"),
        ((0,), "input"),
    )
    derived = derive(supernet, route)
    derived(inputs)
    assert derived.kept == [[0, 3], [0, 2]]
    assert [part.kernels[0].shape for part in derived.sub_networks] == [(1, 5, 12), (2, 6, 7)]
    assert derived.parameters() == 2 * 6 * (5 + 1) + 2 * 7 * (6 + 1)
    assert derived.macs() == 2 * 6 * 5 + 2 * 7 * 6
    assert derived.routing()[0].lower == ("1.1", "1.4")
    assert derived.routing()[0].upper == ("2.1", "2.3")
    np.testing.assert_array_equal(derived.routing()[-1].values, [[1, 0], [0, 1], [1, 0]])


def test_another_route_traces_nothing():
    inputs = vectors(8, 5)
    supernet = built_supernet(((3, 6), (2, 7)), inputs)
    traces = []

    @tf.function
    def run(x):
        traces.append(1)
        return supernet(x)["a"]

    outputs = set()
    for indices in itertools.islice(
        itertools.product(*map(range, supernet.num_routes)), 0, 900, 90
    ):
        supernet.set_route(np.array(indices))
        outputs.add(float(tf.reduce_sum(run(inputs))))
    assert len(traces) == 1
    assert len(outputs) > 1


def test_gates_of_the_derived_network_are_reported_as_they_are_used():
    inputs = vectors(8, 5)
    block = BlockRoute(block="a", lower=("1.1", "1.2"))
    route = ShareRoute(tasks=("a",), sub_networks=(2,), blocks=(block,))
    derived = MtnasDerived(mtnas(((2, 6),), route), ("a",))
    derived(inputs)
    derived.blocks[0].input_kernel.assign(vectors(5, 2)[np.newaxis] * 3)
    for _ in range(800):
        derived(inputs, training=True)
    odds = np.exp(inputs @ vectors(5, 2) * 3)
    expected = (odds / odds.sum(axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(derived.routing()[0].values[0], expected, atol=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SearchBlocks(0, 2),
        lambda: SearchBlocks(2, 2, queries=()),
        lambda: SearchBlocks(2, 2, queries=("output",)),
        lambda: RoutedBlocks([((), "input")], 2),
        lambda: RoutedBlocks([((2,), "input")], 2),
        lambda: MtnasDerived(mtnas(((2, 3),)), ("a",)),
        lambda: MtnasDerived(mtnas(((2, 3),), ROUTE_OF_A), ("b",)),
    ],
)
def test_arguments_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="Received"):
        make()


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)
