"""Each trunk is trained as part of a ranker, its routing by an optimizer of its own."""

from typing import get_args

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from taskroute.models.ranker import MultiTaskRanker, make_optimizer
from taskroute.schemas import trunks
from taskroute.schemas.recommender import ModelConfig

KINDS = [
    get_args(kind.model_fields["kind"].annotation)[0]
    for kind in get_args(get_args(trunks.Trunk)[0])
]
ROWS, STEPS = 64, 3


def dataset(config):
    random = np.random.default_rng(0)
    columns = {
        "user": random.integers(0, 10, ROWS * STEPS),
        "age": random.normal(size=ROWS * STEPS).astype("float32"),
        "age_missing": np.zeros(ROWS * STEPS, "float32"),
    }
    for task in config.tasks:
        columns[task.label_key] = random.integers(0, 2, ROWS * STEPS).astype("float32")
        columns[task.weight_key] = np.ones(ROWS * STEPS, "float32")
    return tf.data.Dataset.from_tensor_slices(columns).batch(ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_training_moves_every_weight_of_the_trunk(kind):
    keras.utils.set_random_seed(1)
    config = ModelConfig.model_validate(
        {
            "features": [
                {"name": "user", "kind": "categorical", "hash_buckets": 9, "embedding_dim": 4},
                {"name": "age", "kind": "dense"},
            ],
            "tasks": [
                {"name": "click", "label": {"column": "clicked"}},
                {"name": "like", "label": {"column": "liked"}},
            ],
            "trunk": {"kind": kind, "match_parameters": 3_000},
        }
    )
    rows = dataset(config)
    ranker = MultiTaskRanker(config, {"user": 10})
    ranker(next(iter(rows)))
    ranker.compile(optimizer=make_optimizer(ranker, config))
    before = [weight.numpy() for weight in ranker.trunk.trainable_weights]
    history = ranker.fit(rows, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"][-1])
    for weight, old in zip(ranker.trunk.trainable_weights, before, strict=True):
        assert np.any(weight.numpy() != old), weight.name
    if hasattr(ranker.trunk, "step"):
        assert int(ranker.trunk.step) == STEPS
