import numpy as np
import pytest
import tensorflow as tf

from taskroute.models.describe import describe
from taskroute.models.ranker import MultiTaskRanker
from taskroute.schemas.recommender import ModelConfig

CONFIG = {
    "features": [
        {"name": "user", "kind": "categorical", "hash_buckets": 9, "embedding_dim": 4},
        {"name": "age", "kind": "dense"},
    ],
    "tasks": [
        {"name": "click", "label": {"column": "clicked"}},
        {"name": "like", "label": {"column": "liked"}},
    ],
    "towers": {"units": [3]},
}
BATCH = {
    "user": tf.constant([1, 2], tf.int64),
    "age": tf.zeros(2),
    "age_missing": tf.zeros(2),
}


def built(trunk):
    ranker = MultiTaskRanker(ModelConfig.model_validate({**CONFIG, "trunk": trunk}), {"user": 10})
    ranker(BATCH)
    return ranker


def test_parameters_and_macs_are_those_counted_by_hand():
    rows = describe(built({"kind": "shared_bottom", "units": [5]}))
    found = {row.part: (row.parameters, row.macs) for row in rows}
    expected = {
        "embedding": (40, 0),
        "trunk": (6 * 5 + 5, 30),
        "tower click": (5 * 3 + 3, 15),
        "tower like": (5 * 3 + 3, 15),
        "head click": (4, 3),
        "head like": (4, 3),
        "total": (40 + 35 + 36 + 8, 66),
    }
    assert found == expected


@pytest.mark.parametrize("kind", ["single_task", "mmoe", "snr_aver", "gumbel_matrix"])
def test_the_total_is_all_that_is_trained(kind):
    ranker = built({"kind": kind})
    trained = sum(np.prod(weight.shape) for weight in ranker.trainable_variables)
    assert describe(ranker)[-1].parameters == trained


def test_a_matched_trunk_is_described_with_what_it_reached():
    ranker = built({"kind": "mmoe", "match_parameters": 5_000})
    (trunk,) = (row for row in describe(ranker) if row.part == "trunk")
    assert abs(trunk.parameters - 5_000) < 100
