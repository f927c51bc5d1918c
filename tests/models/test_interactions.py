"""Each interaction is trained and described as a part of a ranker."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from taskroute.models.describe import describe
from taskroute.models.ranker import MultiTaskRanker, make_optimizer
from taskroute.schemas.recommender import ModelConfig

CONFIG = {
    "features": [
        {"name": "user", "kind": "categorical", "hash_buckets": 9, "embedding_dim": 4},
        {"name": "item", "kind": "categorical", "table": "ids"},
        {"name": "tags", "kind": "multivalent", "table": "ids"},
        {"name": "age", "kind": "dense"},
    ],
    "tables": [{"name": "ids", "rows": 6, "embedding_dim": 4, "num_hashes": 2}],
    "tasks": [
        {"name": "click", "label": {"column": "clicked"}},
        {"name": "like", "label": {"column": "liked"}},
    ],
    "trunk": {"kind": "shared_bottom", "units": [5]},
    "towers": {"units": [3]},
}
NUM_IDS = {"user": 10, "item": 2**52 + 1, "tags": 2**52 + 1}
ROWS = 64
RANDOM = np.random.default_rng(0)
BATCH = {
    "user": tf.constant(RANDOM.integers(0, 10, ROWS)),
    "item": tf.constant(RANDOM.integers(0, 2**52, ROWS)),
    "tags": tf.RaggedTensor.from_uniform_row_length(
        tf.constant(RANDOM.integers(1, 2**52, 2 * ROWS)), 2
    ),
    "age": tf.constant(RANDOM.normal(size=ROWS), tf.float32),
    "age_missing": tf.zeros(ROWS),
    **{f"label/{task}": tf.constant(RANDOM.integers(0, 2, ROWS), tf.float32) for task in "cl"},
}


def built(interaction, **fields):
    keras.utils.set_random_seed(1)
    config = ModelConfig.model_validate({**CONFIG, "interaction": interaction, **fields})
    ranker = MultiTaskRanker(config, NUM_IDS)
    ranker(BATCH)
    ranker.compile(optimizer=make_optimizer(ranker, config))
    return ranker


@pytest.mark.parametrize(
    ("interaction", "width", "cost"),
    [
        ({"kind": "cross"}, 14, (2 * (14 * 14 + 14), 2 * 14 * 14)),
        ({"kind": "cross", "layers": 1, "rank": 3}, 14, (2 * 14 * 3 + 14, 2 * 14 * 3)),
        ({"kind": "dot"}, 14 + 3, (0, 3 * 3 * 4)),
        (None, 14, None),
    ],
)
def test_parameters_and_macs_are_those_counted_by_hand(interaction, width, cost):
    ranker = built(interaction)
    parts = {part.part: (part.parameters, part.macs) for part in describe(ranker)}
    assert parts.get("interaction") == cost
    assert parts["trunk"] == (width * 5 + 5, width * 5)
    assert parts["embedding"] == (10 * 4 + 6 * 2, 0)
    trained = sum(np.prod(weight.shape) for weight in ranker.trainable_variables)
    assert parts["total"][0] == trained


@pytest.mark.parametrize("interaction", [{"kind": "cross", "rank": 3}, {"kind": "dot"}])
@pytest.mark.parametrize("balance", ["fixed", "pcgrad"])
@pytest.mark.parametrize("mixed_precision", [False, True])
def test_training_moves_every_weight(interaction, balance, mixed_precision):
    if mixed_precision:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        ranker = built(interaction, training={"balance": {"kind": balance}})
        before = [weight.numpy() for weight in ranker.trainable_variables]
        rows = {
            **BATCH,
            **{f"label/{t.name}": BATCH[f"label/{t.name[0]}"] for t in ranker.tasks},
            **{f"weight/{t.name}": tf.ones(ROWS) for t in ranker.tasks},
        }
        step = tf.function(ranker.train_step)
        losses = [float(step(rows)["loss"]) for _ in range(3)]
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert np.isfinite(losses).all()
    for weight, old in zip(ranker.trainable_variables, before, strict=True):
        assert weight.dtype == tf.float32
        assert np.any(weight.numpy() != old), weight.name
    # Products need the range of float32, however narrow the trunk is.
    assert ranker.interaction(ranker.embedding(BATCH)).dtype == tf.float32


def test_the_weights_of_an_interaction_are_shared_by_all_tasks_and_served():
    ranker = built({"kind": "cross", "rank": 3})
    names = {weight.ref() for weight in ranker.model_weights()}
    assert {weight.ref() for weight in ranker.interaction.weights} <= names
