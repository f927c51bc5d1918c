"""Served in fewer bits: how near it stays, what it saves, and that outputs are float32."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.compaction import compact
from taskroute.models.quantization import (
    Int8Tables,
    parts_in_precision,
    quantize_rows,
    to_precision,
)
from taskroute.models.ranker import MultiTaskRanker
from taskroute.schemas.recommender import ModelConfig

ROUTE = {
    "tasks": ["click", "watch"],
    "sub_networks": [2],
    "blocks": [
        {"block": "click", "lower": ["1.1"]},
        {"block": "watch", "lower": ["1.1", "1.2"]},
    ],
}
LAYERS = [{"sub_networks": 2, "units": 8}]
TRUNKS = {
    "single_task": {"units": [8]},
    "shared_bottom": {"units": [8]},
    "mmoe": {},
    "ple": {},
    "cross_stitch": {},
    "snr_trans": {"layers": LAYERS},
    "snr_aver": {"layers": LAYERS},
    "gumbel_matrix": {"layers": [{"experts": 2, "units": 8}]},
    "mtnas": {"layers": LAYERS, "route": ROUTE},
}
CONFIG = {
    "features": [
        {"name": "user", "kind": "categorical", "hash_buckets": 40, "embedding_dim": 8},
        {"name": "tags", "kind": "multivalent", "hash_buckets": 9, "embedding_dim": 3},
        {"name": "age", "kind": "dense"},
        {"name": "item", "kind": "categorical", "table": "ids"},
        {"name": "seen", "kind": "sequence", "shares": "item", "pooling": "attention"},
    ],
    "tables": [{"name": "ids", "rows": 30, "embedding_dim": 16, "num_hashes": 2}],
    "interaction": {"kind": "cross", "rank": 4},
    "tasks": [
        {"name": "click", "label": {"column": "c"}},
        {"name": "watch", "kind": "regression", "label": {"column": "w"}},
    ],
    "towers": {"units": [6]},
}
IDS = {"user": 41, "tags": 10, "item": 2**52 + 1, "seen": 2**52 + 1}
ROWS = 200
RANDOM = np.random.default_rng(0)
BATCH = {
    "user": tf.constant(RANDOM.integers(0, 41, ROWS)),
    "tags": tf.ragged.constant(
        [list(RANDOM.integers(1, 10, n % 4)) for n in range(ROWS)], tf.int64
    ),
    "age": tf.constant(RANDOM.normal(size=ROWS), tf.float32),
    "age_missing": tf.zeros(ROWS),
    "item": tf.constant(RANDOM.integers(0, 2**52, ROWS)),
    "seen": tf.ragged.constant(
        [list(RANDOM.integers(1, 2**52, n % 3)) for n in range(ROWS)], tf.int64
    ),
}


def make_ranker(kind):
    keras.utils.set_random_seed(4)
    config = ModelConfig.model_validate({**CONFIG, "trunk": {"kind": kind, **TRUNKS[kind]}})
    ranker = MultiTaskRanker(config, IDS)
    ranker(BATCH)
    for table in ranker.embedding.tables.values():
        table.assign(tf.random.normal(table.shape, stddev=0.5))
    return ranker, config


def test_a_quantised_row_is_within_half_a_step_of_the_table():
    table = RANDOM.normal(size=(500, 16)) * RANDOM.lognormal(0, 3, (500, 1))
    table[7] = 0
    numbers, scales = quantize_rows(table.astype(np.float32))
    assert numbers.dtype == np.int8
    assert np.abs(numbers).max() == 127
    error = np.abs(numbers * scales[:, np.newaxis] - table)
    assert np.all(error <= scales[:, np.newaxis] * 0.5001)
    assert not numbers[7].any()
    assert scales[7] == 0


def test_only_the_gathered_rows_become_float32():
    tables = Int8Tables({"8": tf.Variable(tf.random.normal([10_000, 8]))})
    function = tf.function(lambda rows: tables("8", rows)).get_concrete_function(
        tf.TensorSpec([None], tf.int64)
    )
    kinds = [op.type for op in function.graph.get_operations()]
    assert kinds.index("ResourceGather") < kinds.index("Cast")
    casts = [op.outputs[0].shape for op in function.graph.get_operations() if op.type == "Cast"]
    assert [shape.as_list() for shape in casts] == [[None, 8]]


def test_int8_scores_are_near_and_the_bytes_saved_are_counted():
    ranker, _ = make_ranker("shared_bottom")
    tables = Int8Tables(ranker.embedding.tables)
    exact = ranker.embedding(BATCH)
    near = ranker.embedding(BATCH, lookup=tables)
    assert near.dtype == tf.float32
    difference = np.abs(near - exact)
    assert 0 < difference.max() < 0.02
    held = sum(weight.shape.num_elements() * weight.dtype.size for weight in tables.weights)
    whole = 4 * sum(table.shape.num_elements() for table in ranker.embedding.tables.values())
    assert tables.saved_bytes == whole - held
    assert held < whole / 2


@pytest.mark.parametrize("kind", TRUNKS)
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_every_trunk_runs_in_fewer_bits(kind, precision):
    ranker, config = make_ranker(kind)
    served = compact(ranker.trunk)
    trunk, towers = parts_in_precision(ranker, served, config, precision)
    weights = [*trunk.weights, *(w for tower in towers.values() for w in tower.weights)]
    # Gates stay float32: their sums need it.
    kinds = {weight.dtype for weight in weights if "gate" not in weight.name}
    assert kinds == {tf.as_dtype(precision)}
    read = ranker.interaction(ranker.embedding(BATCH))
    shared = trunk(to_precision(read, precision), training=False)
    assert {values.dtype for values in shared.values()} == {tf.as_dtype(precision)}
    logits = ranker.task_logits(shared, towers=towers)
    exact = ranker(BATCH)
    for task, values in logits.items():
        assert values.dtype == tf.float32
        scale = np.std(exact[task]) + 0.1
        assert (
            np.abs(values - exact[task]).max() < (0.1 if precision == "bfloat16" else 0.02) * scale
        )
    assert ranker.trunk.weights[0].dtype == tf.float32
    assert keras.mixed_precision.global_policy().name == "float32"


def test_numbers_beyond_float16_do_not_become_infinite():
    huge = tf.constant([[1e30, -1e30, 1.0]])
    assert np.isfinite(to_precision(huge, "float16")).all()
    assert to_precision(huge, "bfloat16").dtype == tf.bfloat16
    assert to_precision(huge, "float32") is huge
