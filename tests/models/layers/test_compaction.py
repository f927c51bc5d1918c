"""A compacted trunk: the same results from smaller weights, and nothing of what is closed."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.compact_trunk import CompactTrunk
from taskroute.models.layers.compaction import compact
from taskroute.models.layers.gumbel_matrix import GumbelMatrix
from taskroute.models.layers.mmoe import Mmoe
from taskroute.models.layers.mtnas import MtnasDerived
from taskroute.models.layers.shared_bottom import SharedBottom
from taskroute.models.layers.sub_network_routing import SnrAver, SnrTrans
from taskroute.schemas import trunks
from taskroute.schemas.routes import BlockRoute, ShareRoute

ROWS, WIDTH = 10_000, 24
TASKS = ("click", "like", "share")
SUB_NETWORKS = [{"sub_networks": 4, "units": 8}, {"sub_networks": 3, "units": 6}]
OPEN, HALF, CLOSED = 5.0, 0.0, -5.0


def built(trunk, seed=1):
    """`trunk` with weights that leave nothing at zero, and its routes as they start."""
    keras.utils.set_random_seed(seed)
    trunk(tf.zeros([2, WIDTH]))
    routing = {variable.ref() for variable in trunk.routing_variables}
    for weight in trunk.trainable_weights:
        if weight.ref() not in routing:
            weight.assign(tf.random.normal(weight.shape, stddev=0.4))
    return trunk


def with_codings(trunk, *codings):
    """Sets log-alpha, layer by layer, from rows of `o`, `h` and `.`: open, half open, closed."""
    values = {"o": OPEN, "h": HALF, ".": CLOSED}
    for connection, rows in zip(trunk.connections, codings, strict=True):
        connection.gate.log_alpha.assign([[values[c] for c in row] for row in rows.split()])
    return trunk


def with_allocation(trunk, *allocations):
    for gate, rows in zip(trunk.gates, allocations, strict=True):
        on = np.array([[c == "o" for c in row] for row in rows.split()])
        gate.logits.assign(np.stack([on * 2.0 - 1.0, np.zeros(on.shape)], axis=-1))
    return trunk


def snr_trans(*codings, activation="relu"):
    config = trunks.SnrTransTrunk(layers=SUB_NETWORKS, task_units=5, activation=activation)
    return with_codings(built(SnrTrans(config, TASKS)), *codings)


def snr_aver(*codings):
    return with_codings(built(SnrAver(trunks.SnrAverTrunk(layers=SUB_NETWORKS), TASKS)), *codings)


def gumbel_matrix(*allocations, units=((8,), (6,))):
    layers = [{"experts": 4, "units": units[0]}, {"experts": 3, "units": units[1]}]
    config = trunks.GumbelMatrixTrunk(layers=layers)
    return with_allocation(built(GumbelMatrix(config, TASKS)), *allocations)


CASES = {
    "snr_trans_all_open": lambda: snr_trans("oooo oooo oooo", "ooo ooo ooo"),
    "snr_trans_half": lambda: snr_trans("oh.. .oo. hh..", "o.. oo. .h."),
    "snr_trans_gelu": lambda: snr_trans("oh.. .oo. hh..", "o.. oo. .h.", activation="gelu"),
    "snr_trans_guarded": lambda: snr_trans("o... .... ...o", "... ..o h.."),
    "snr_aver_all_open": lambda: snr_aver("oooo oooo oooo", "ooo ooo ooo"),
    "snr_aver_half": lambda: snr_aver("oh.. ho.. hh..", "o.. oh. .h."),
    "snr_aver_one_each": lambda: snr_aver("o... .h.. ..o.", "o.. h.. ..o"),
    "gumbel_all": lambda: gumbel_matrix("oooo oooo oooo", "ooo ooo ooo"),
    "gumbel_half": lambda: gumbel_matrix("oo.. o... .ooo", "o.. oo. .oo"),
    "gumbel_alike": lambda: gumbel_matrix("oo.. oo.. o.o.", "oo. oo. .o."),
    "gumbel_deep": lambda: gumbel_matrix("oo.. oo.. ..oo", "o.. oo. ooo", units=((8, 7), (6, 5))),
}


@pytest.mark.parametrize("case", CASES)
def test_results_are_the_same_on_10_000_rows(case):
    trunk = CASES[case]()
    inputs = tf.constant(np.random.default_rng(0).normal(size=(ROWS, WIDTH)), tf.float32)
    expected, found = trunk(inputs), tf.function(compact(trunk))(inputs)
    assert list(found) == list(TASKS)
    for task in TASKS:
        scale = np.abs(expected[task].numpy()).max()
        np.testing.assert_allclose(found[task], expected[task], rtol=1e-6, atol=2e-6 * scale)


@pytest.mark.parametrize("case", [case for case in CASES if "all" not in case])
def test_what_is_not_used_costs_nothing(case):
    trunk = CASES[case]()
    compacted = compact(trunk)
    assert compacted.macs() < trunk.macs()
    assert compacted.parameters() < trunk.parameters()


def test_the_weights_of_snr_trans_are_those_of_its_open_connections():
    # 1.4 feeds nothing, and 2.3 no task: gone, and with 2.3 the connections into it.
    compacted = compact(snr_trans("oh.. .oo. ...o", "o.. oo. .h."))
    first = WIDTH * 3 * 8 + 3 * 8
    second = 2 * (2 * 8 * 6 + 6)
    tasks = (1 + 2 + 1) * 6 * 5 + 3 * 5
    assert compacted.parameters() == first + second + tasks
    assert compacted.macs() == WIDTH * 3 * 8 + 2 * 2 * 8 * 6 + 4 * 6 * 5


def test_upper_sub_networks_that_read_the_same_are_one_product():
    compacted = compact(snr_trans("oo.. oo.. oo..", "ooo ooo ooo"))
    shapes = [tuple(weight.shape) for weight in compacted.weights if weight.shape.rank == 2]
    assert shapes == [(WIDTH, 16), (16, 18), (18, 15)]


def test_a_compacted_gate_is_in_the_weights():
    trunk = snr_trans("hooo oooo oooo", "ooo ooo ooo")
    kernel = trunk.connections[0].kernel.numpy()
    products = [w.numpy() for w in compact(trunk).weights if w.shape.rank == 2]
    np.testing.assert_allclose(products[1][:8, :6], 0.5 * kernel[:8, :6], rtol=1e-6)


def test_tasks_that_chose_alike_share_what_an_expert_gives():
    alike = compact(gumbel_matrix("oo.. oo.. oo..", "oo. oo. oo."))
    # One stream: two experts a layer, each run once, and two means of two.
    assert alike.macs() == WIDTH * 2 * 8 + 8 * 2 * 6 + 2 * 8 + 2 * 6
    apart = compact(gumbel_matrix("o... .o.. ..o.", "oo. oo. oo."))
    assert apart.macs() == WIDTH * 3 * 8 + 3 * 8 * 2 * 6 + 3 * 2 * 6


def test_weights_that_several_streams_share_are_held_once():
    trunk = gumbel_matrix("o... .oo. ..oo", "ooo ooo ooo")
    compacted = compact(trunk)
    upper = 3 * (8 * 6 + 6)
    assert compacted.parameters() == (WIDTH + 1) * 4 * 8 + upper


def test_a_compacted_trunk_has_no_mask_and_no_gate_left():
    for case in CASES:
        function = tf.function(compact(CASES[case]())).get_concrete_function(
            tf.TensorSpec([None, WIDTH])
        )
        kinds = {op.type for op in function.graph.get_operations()}
        assert not kinds & {"Select", "SelectV2", "Sigmoid", "ClipByValue"}, case


def test_weights_that_training_changes_later_do_not_reach_a_compacted_trunk():
    trunk = CASES["snr_trans_half"]()
    compacted = compact(trunk)
    inputs = tf.ones([1, WIDTH])
    before = compacted(inputs)["click"].numpy()
    trunk.first.kernel.assign_add(tf.ones_like(trunk.first.kernel))
    np.testing.assert_array_equal(before, compacted(inputs)["click"])


ROUTE = ShareRoute(
    tasks=TASKS,
    sub_networks=(3,),
    blocks=[
        BlockRoute(block=task, lower=lower)
        for task, lower in zip(TASKS, (("1.1",), ("1.3",), ("1.1", "1.3")), strict=True)
    ],
)
WHOLE = {
    "shared_bottom": SharedBottom(trunks.SharedBottomTrunk(units=4), TASKS),
    "mmoe": Mmoe(trunks.MmoeTrunk(layers=[{"experts": 2, "units": 4}]), TASKS),
    "mtnas": MtnasDerived(
        trunks.MtnasTrunk(layers=[{"sub_networks": 3, "units": 4}], route=ROUTE), TASKS
    ),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_trunk_that_every_row_uses_whole_is_served_as_it_is(kind):
    assert compact(WHOLE[kind]) is WHOLE[kind]


def test_of_mtnas_only_what_the_route_reaches_is_there_to_be_served():
    trunk = built(WHOLE["mtnas"])
    assert trunk.sub_networks[0].num_experts == 2


def test_a_step_that_is_added_twice_runs_once():
    program = CompactTrunk(2)
    weights = program.add_weights(np.eye(2))
    assert program.product(0, weights, [1, 1]) == program.product(0, weights, [1, 1]) == (1, 2)
    program.finish({"click": program.sum([1, 2], [1.0, 2.0]), "like": 1})
    outputs = program(tf.constant([[3.0, 5.0]]))
    assert outputs["click"].numpy() == [[13.0]]
    assert outputs["like"].numpy() == [[3.0]]
    assert program.macs() == 4 + 2
