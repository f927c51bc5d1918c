"""Rules that every layer keeps; a layer's own file holds only what is special to it."""

import importlib
import inspect
import itertools
import pkgutil
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from taskroute.models import layers
from taskroute.models.layers.cross_stitch import CrossStitch
from taskroute.models.layers.embedding import FeatureEmbedding
from taskroute.models.layers.experts import Experts
from taskroute.models.layers.gates import GumbelMatrixGate, HardConcreteGate, SoftmaxGate
from taskroute.models.layers.gumbel_matrix import GumbelMatrix, RoutedExperts
from taskroute.models.layers.interaction import CrossNetwork, DotProducts, NoInteraction
from taskroute.models.layers.mlp import Mlp
from taskroute.models.layers.mmoe import Mmoe
from taskroute.models.layers.mtnas import MtnasDerived, MtnasSupernet
from taskroute.models.layers.mtnas_blocks import RoutedBlocks, SearchBlocks
from taskroute.models.layers.noise import Dropout
from taskroute.models.layers.ple import Ple, PleLevel
from taskroute.models.layers.shared_bottom import SharedBottom
from taskroute.models.layers.single_task import SingleTask
from taskroute.models.layers.sub_network_routing import (
    SnrAver,
    SnrAverConnection,
    SnrTrans,
    SnrTransConnection,
)
from taskroute.models.layers.trunk import Trunk
from taskroute.schemas import trunks
from taskroute.schemas.embedding_tables import EmbeddingTable
from taskroute.schemas.features import (
    BucketFeature,
    CategoricalFeature,
    DenseFeature,
    MultivalentFeature,
    SequenceFeature,
)
from taskroute.schemas.interactions import CrossInteraction
from taskroute.schemas.routes import BlockRoute, ShareRoute

BATCH = 16
TASKS = ("click", "like", "share")


@dataclass(frozen=True)
class LayerCase:
    name: str
    make: Any
    inputs: Any
    shapes: Any  # of the output, as a structure of tuples


def vectors(width):
    return np.random.default_rng(0).normal(size=(BATCH, width)).astype("float32")


def lower_outputs(count, width):
    return np.transpose(stacked(count, width), [1, 0, 2])


def stacked(count, width):
    return np.stack([vectors(width) + index for index in range(count)])


FEATURES = (
    CategoricalFeature(name="user", kind="categorical", hash_buckets=9, embedding_dim=4),
    MultivalentFeature(name="tags", kind="multivalent", hash_buckets=5, embedding_dim=4),
    SequenceFeature(name="users", kind="sequence", shares="user", pooling="attention"),
    SequenceFeature(name="past_tags", kind="sequence", shares="tags", pooling="attention"),
    BucketFeature(name="hour", kind="bucket", boundaries=(6.0,), embedding_dim=2),
    DenseFeature(name="age", kind="dense"),
)
NUM_IDS = {"user": 10, "tags": 6, "users": 10, "past_tags": 6, "hour": 3}
TABLES = (EmbeddingTable(name="ids", rows=7, embedding_dim=6, num_hashes=3),)
HASHED_FEATURES = (
    CategoricalFeature(name="user", kind="categorical", table="ids"),
    MultivalentFeature(name="tags", kind="multivalent", table="ids"),
    SequenceFeature(name="users", kind="sequence", shares="user", pooling="attention"),
    SequenceFeature(name="past_tags", kind="sequence", shares="tags", pooling="attention"),
    BucketFeature(name="hour", kind="bucket", boundaries=(6.0,), embedding_dim=2),
    DenseFeature(name="age", kind="dense"),
)
# What reads no weights of its own.
WEIGHTLESS = (Dropout, NoInteraction, DotProducts)


def rows():
    random = np.random.default_rng(0)
    lengths = np.arange(BATCH) % 4
    return {
        "user": tf.constant(random.integers(0, 10, BATCH)),
        "tags": tf.RaggedTensor.from_row_lengths(random.integers(0, 6, lengths.sum()), lengths),
        "users": tf.RaggedTensor.from_row_lengths(random.integers(0, 10, lengths.sum()), lengths),
        "past_tags": tf.RaggedTensor.from_row_lengths(
            random.integers(0, 6, lengths.sum()), lengths
        ),
        "hour": tf.constant(random.integers(0, 3, BATCH)),
        "age": tf.constant(vectors(1)[:, 0]),
        "age_missing": tf.zeros(BATCH),
    }


def each_task(units):
    return dict.fromkeys(TASKS, (BATCH, units))


ROUTE = ShareRoute(
    tasks=TASKS,
    sub_networks=(3, 2),
    blocks=(
        BlockRoute(block="2.1", lower=("1.1", "1.3")),
        BlockRoute(block="2.2", lower=("1.2",)),
        BlockRoute(block="click", lower=("2.1",)),
        BlockRoute(block="like", lower=("2.1", "2.2"), query="lower"),
        BlockRoute(block="share", lower=("2.1", "2.2")),
    ),
)


def experts(count, *units):
    return trunks.ExpertLayer(experts=count, units=units)


def level(own, shared, *units):
    return trunks.PleLevel(task_experts=own, shared_experts=shared, units=units)


def row(count, units):
    return trunks.SubNetworkLayer(sub_networks=count, units=units)


def trunk(name, layer, config, width):
    """A case of a trunk of which each task receives `width` units."""
    return LayerCase(name, lambda: layer(config, TASKS), vectors(4), each_task(width))


CASES = [
    LayerCase("hard_concrete_gate", lambda: HardConcreteGate((2, 3)), None, (2, 3)),
    LayerCase("gumbel_matrix_gate", lambda: GumbelMatrixGate(2, 3), tf.constant(2.0), (2, 3)),
    LayerCase("softmax_gate", lambda: SoftmaxGate(2, 3), vectors(4), (BATCH, 2, 3)),
    LayerCase(
        "softmax_gate_of_own_inputs",
        lambda: SoftmaxGate(2, 3, num_inputs=2),
        stacked(2, 4),
        (BATCH, 2, 3),
    ),
    LayerCase("mlp", lambda: Mlp((5, 3), dropout=0.5), vectors(4), (BATCH, 3)),
    LayerCase("dropout", lambda: Dropout(0.5), vectors(4), (BATCH, 4)),
    LayerCase("experts", lambda: Experts(4, (6, 5), dropout=0.1), vectors(8), (BATCH, 4, 5)),
    LayerCase(
        "experts_of_two_inputs",
        lambda: Experts(4, (6, 5), num_inputs=2, experts_first=True),
        stacked(2, 8),
        (4, BATCH, 5),
    ),
    LayerCase("embedding", lambda: FeatureEmbedding(FEATURES, NUM_IDS), rows(), (BATCH, 20)),
    LayerCase(
        "embedding_of_a_hashed_table",
        lambda: FeatureEmbedding(HASHED_FEATURES, NUM_IDS, TABLES),
        rows(),
        (BATCH, 28),
    ),
    LayerCase("no_interaction", NoInteraction, vectors(4), (BATCH, 4)),
    LayerCase(
        "cross_network", lambda: CrossNetwork(CrossInteraction(layers=2)), vectors(4), (BATCH, 4)
    ),
    LayerCase(
        "low_rank_cross_network",
        lambda: CrossNetwork(CrossInteraction(layers=3, rank=2)),
        vectors(9),
        (BATCH, 9),
    ),
    LayerCase("dot_products", lambda: DotProducts(3, 4), vectors(14), (BATCH, 17)),
    LayerCase(
        "snr_trans_connection",
        lambda: SnrTransConnection(trunks.SnrTransTrunk(), 3, 2, 5),
        vectors(12),
        (BATCH, 10),
    ),
    LayerCase(
        "snr_aver_connection",
        lambda: SnrAverConnection(trunks.SnrAverTrunk(), 3, 2),
        stacked(3, 4),
        (2, BATCH, 4),
    ),
    LayerCase(
        "ple_level",
        lambda: PleLevel(trunks.PleTrunk(levels=[level(2, 1, 5)] * 3), 1, 3),
        stacked(4, 4),
        (BATCH, 4, 5),
    ),
    LayerCase(
        "routed_experts",
        lambda: RoutedExperts(4, (5,)),
        (stacked(3, 8), tf.constant(np.full((3, 4), 0.25, "float32"))),
        (3, BATCH, 5),
    ),
    LayerCase(
        "deep_routed_experts",
        lambda: RoutedExperts(4, (6, 5), activation="gelu", dropout=0.1),
        (stacked(3, 8), tf.constant(np.full((3, 4), 0.25, "float32"))),
        (3, BATCH, 5),
    ),
    trunk("single_task", SingleTask, trunks.SingleTaskTrunk(units=(8, 6)), 6),
    trunk("shared_bottom", SharedBottom, trunks.SharedBottomTrunk(units=(8, 6)), 6),
    trunk("cross_stitch", CrossStitch, trunks.CrossStitchTrunk(units=(8, 6)), 6),
    trunk("mmoe", Mmoe, trunks.MmoeTrunk(layers=[experts(4, 8, 6)]), 6),
    trunk(
        "ml_mmoe", Mmoe, trunks.MmoeTrunk(layers=[experts(4, 8), experts(2, 7, 6)], dropout=0.1), 6
    ),
    trunk("cgc", Ple, trunks.PleTrunk(levels=[level(2, 1, 6)]), 6),
    trunk(
        "ple",
        Ple,
        trunks.PleTrunk(levels=[level(1, 2, 8), level(2, 1, 7), level(2, 2, 6, 5)], dropout=0.1),
        5,
    ),
    trunk(
        "snr_trans",
        SnrTrans,
        trunks.SnrTransTrunk(layers=[row(4, 8), row(2, 6)], task_units=5, dropout=0.1),
        5,
    ),
    trunk("snr_aver", SnrAver, trunks.SnrAverTrunk(layers=[row(4, 8), row(2, 6)], dropout=0.1), 6),
    trunk(
        "gumbel_matrix",
        GumbelMatrix,
        trunks.GumbelMatrixTrunk(layers=[experts(4, 8), experts(3, 7, 6)], dropout=0.1, budget=0.3),
        6,
    ),
    trunk(
        "mtnas_supernet",
        MtnasSupernet,
        trunks.MtnasTrunk(layers=[row(4, 8), row(3, 6)], dropout=0.1),
        6,
    ),
    trunk(
        "mtnas_derived",
        MtnasDerived,
        trunks.MtnasTrunk(layers=[row(3, 8), row(2, 6)], route=ROUTE, dropout=0.1),
        6,
    ),
    LayerCase(
        "search_blocks",
        lambda: SearchBlocks(3, 4),
        (vectors(4), lower_outputs(4, 5)),
        (BATCH, 3, 5),
    ),
    LayerCase(
        "routed_blocks",
        lambda: RoutedBlocks([((0, 2), "input"), ((1,), "input"), ((0, 1, 2), "lower")], 3),
        (vectors(4), lower_outputs(3, 5)),
        (BATCH, 3, 5),
    ),
]


def flat(outputs):
    return [np.asarray(value) for value in tf.nest.flatten(outputs)]


def assert_equal(left, right, tolerance=1e-6):
    for one, other in zip(flat(left), flat(right), strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance)


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestEveryLayer:
    def test_output_has_the_documented_shape(self, case):
        outputs = case.make()(case.inputs)
        shapes = tf.nest.map_structure(lambda value: tuple(value.shape), outputs)
        assert shapes == case.shapes

    def test_every_weight_gets_a_gradient(self, case):
        layer = case.make()
        with tf.GradientTape() as tape:
            outputs = layer(case.inputs, training=True) if trains(layer) else layer(case.inputs)
            loss = tf.add_n([tf.reduce_sum(value**2) for value in tf.nest.flatten(outputs)])
        assert layer.trainable_variables or isinstance(layer, WEIGHTLESS)
        gradients = tape.gradient(loss, layer.trainable_variables)
        for variable, gradient in zip(layer.trainable_variables, gradients, strict=True):
            assert gradient is not None, variable.name
            assert np.any(tf.convert_to_tensor(gradient).numpy() != 0), variable.name

    def test_inference_is_deterministic(self, case):
        layer = case.make()
        assert_equal(layer(case.inputs), layer(case.inputs), tolerance=0)

    def test_a_graph_computes_what_eager_does(self, case):
        layer = case.make()
        layer(case.inputs)
        assert_equal(layer(case.inputs), tf.function(lambda x: layer(x))(case.inputs))

    def test_a_saved_model_gives_the_same_numbers(self, case, tmp_path):
        layer = case.make()
        expected = layer(case.inputs)
        module = tf.Module()
        module.weights = layer.weights
        module.call = tf.function(lambda x: layer(x))
        module.call(case.inputs)
        tf.saved_model.save(module, str(tmp_path))
        loaded = tf.saved_model.load(str(tmp_path))
        assert_equal(expected, loaded.call(case.inputs))

    @pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
    def test_half_precision_trains_float32_weights(self, case, policy):
        keras.mixed_precision.set_global_policy(policy)
        try:
            layer = case.make()
            with tf.GradientTape() as tape:
                outputs = layer(case.inputs, training=True) if trains(layer) else layer(case.inputs)
                loss = sum(tf.reduce_sum(tf.cast(x, "float32")) for x in tf.nest.flatten(outputs))
            gradients = tape.gradient(loss, layer.trainable_variables)
        finally:
            keras.mixed_precision.set_global_policy("float32")
        assert all(weight.dtype == tf.float32 for weight in layer.trainable_weights)
        assert all(penalty.dtype == tf.float32 for penalty in layer.losses)
        for value in (*tf.nest.flatten(outputs), *gradients):
            assert np.all(np.isfinite(tf.convert_to_tensor(value).numpy().astype("float32")))

    def test_xla_compiles_the_training_call(self, case):
        if case.name.startswith("embedding"):
            pytest.skip("lookups stay outside of XLA: ragged shapes do not compile")
        layer = case.make()
        layer(case.inputs)
        compiled = tf.function(
            lambda x: layer(x, training=True) if trains(layer) else layer(x), jit_compile=True
        )
        inputs = tf.zeros([]) if case.inputs is None else case.inputs
        assert all(np.all(np.isfinite(value)) for value in flat(compiled(inputs)))

    def test_the_docstring_says_what_goes_in_and_out(self, case):
        text = inspect.getdoc(type(case.make()))
        for section in ("Args:", "Call arguments:", "Returns:", "Raises:"):
            assert section in text, section


def trains(layer):
    return "training" in inspect.signature(layer.call).parameters


def test_every_layer_has_a_case():
    classes = set()
    for module in pkgutil.iter_modules(layers.__path__, layers.__name__ + "."):
        for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(member, keras.layers.Layer) and member.__module__ == module.name:
                classes.add(member)
    concrete = {layer for layer in classes if not inspect.isabstract(layer)}
    assert concrete == {type(case.make()) for case in CASES}


TRUNKS = [case for case in CASES if isinstance(case.make(), Trunk)]


@pytest.mark.parametrize("case", TRUNKS, ids=lambda case: case.name)
class TestEveryTrunk:
    def test_routing_ends_at_the_tasks(self, case):
        trunk = case.make()
        trunk(case.inputs)
        matrices = trunk.routing()
        assert matrices[-1].upper == TASKS
        for matrix in matrices:
            values = matrix.values.numpy()
            assert values.shape == (len(matrix.upper), len(matrix.lower))
            assert np.all((values >= 0) & (values <= 1))
        for below, above in itertools.pairwise(matrices):
            # A layer is routed either to the next one or, in every layer, to the tasks.
            assert below.upper in (above.lower, TASKS)

    def test_parts_are_counted(self, case):
        trunk = case.make()
        trunk(case.inputs)
        assert trunk.parameters() == sum(np.prod(w.shape) for w in trunk.trainable_weights)
        kernels = sum(np.prod(w.shape) for w in trunk.trainable_weights if "kernel" in w.name)
        # No product is forgotten; mixing, and kernels that meet several inputs, come on top.
        assert trunk.macs() >= kernels

    def test_schedules_and_guards_can_be_read_at_any_time(self, case):
        trunk = case.make()
        trunk(case.inputs)
        assert all(value.shape == () for value in trunk.schedule().values())
        assert trunk.guarded_tasks() == ()

    def test_routing_variables_are_its_own_trainable_weights(self, case):
        trunk = case.make()
        trunk(case.inputs)
        own = {variable.ref() for variable in trunk.trainable_variables}
        assert all(variable.ref() in own for variable in trunk.routing_variables)
