"""Training on a share of the negatives, and probabilities that are those of all rows."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tf_keras as keras
from pydantic import ValidationError

from taskroute.models.dataset import make_dataset
from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.training import build_ranker
from taskroute.schemas.recommender import ModelConfig

NUM_ROWS, NUM_USERS, KEEP = 40_000, 30, 0.1
CONFIG = ModelConfig.model_validate(
    {
        "features": [
            {"name": "user", "kind": "categorical", "hash_buckets": NUM_USERS, "embedding_dim": 8},
            {"name": "tags", "kind": "multivalent", "hash_buckets": 9, "embedding_dim": 4},
        ],
        "tasks": [
            {"name": "click", "label": {"column": "c"}},
            {"name": "skip", "label": {"column": "s"}},
            {"name": "like", "label": {"column": "l"}, "trained_where": "click"},
        ],
        "trunk": {"kind": "shared_bottom", "units": [16]},
        "training": {"batch_size": 1024, "negative_sampling": {"task": "click", "keep": KEEP}},
    }
)
IDS = {"user": NUM_USERS + 1, "tags": 10}


@pytest.fixture(scope="module")
def truth():
    """Columns by name; clicks are rare, an eighth of the rows has no click label."""
    random = np.random.default_rng(0)
    user = random.integers(1, NUM_USERS + 1, NUM_ROWS)
    taste = random.normal(-3.3, 0.8, NUM_USERS + 1)
    click = random.random(NUM_ROWS) < 1 / (1 + np.exp(-taste[user]))
    known = np.arange(NUM_ROWS) % 8 > 0
    skip = random.random(NUM_ROWS) < np.where(click, 0.1, 0.4)
    columns = {
        "label/click": click & known,
        "weight/click": known,
        "label/skip": skip,
        "weight/skip": np.ones(NUM_ROWS),
        "label/like": click & (random.random(NUM_ROWS) < 0.5),
        "weight/like": click & known,
    }
    return user, {name: values.astype(np.float32) for name, values in columns.items()}


@pytest.fixture(scope="module")
def files(truth, tmp_path_factory):
    user, columns = truth
    path = tmp_path_factory.mktemp("examples") / "examples-00000-of-00001.parquet"
    tags = [list(range(1, 1 + row % 3)) for row in range(NUM_ROWS)]
    columns = {"user": user, "tags": pa.array(tags, pa.list_(pa.int64())), **columns}
    pq.write_table(pa.table(columns), path)
    return [str(path)]


def read(files, **arguments):
    arguments = {"negative_sampling": CONFIG.training.negative_sampling, **arguments}
    return make_dataset(files, CONFIG, batch_size=256, **arguments)


def columns_of(dataset):
    batches = list(dataset)
    return {name: np.concatenate([b[name] for b in batches]) for name in batches[0] if "/" in name}


def test_only_negatives_of_the_task_are_left_out_and_as_many_as_asked(truth, files):
    before, after = truth[1], columns_of(read(files, shuffle_seed=1))

    def count(columns, label, weight):
        return np.sum((columns["label/click"] == label) & (columns["weight/click"] == weight))

    assert count(after, 1, 1) == count(before, 1, 1)
    assert count(after, 0, 0) == count(before, 0, 0)
    kept = count(after, 0, 1) / count(before, 0, 1)
    assert kept == pytest.approx(KEEP, abs=0.01)


def test_other_tasks_keep_their_weight_and_their_mean_label(truth, files):
    before, after = truth[1], columns_of(read(files, shuffle_seed=1))
    for task, tolerance in (("skip", 0.02), ("like", 1e-6)):
        weight, label = f"weight/{task}", f"label/{task}"
        assert after[weight].sum() == pytest.approx(before[weight].sum(), rel=tolerance)
        rates = [np.average(x[label], weights=x[weight]) for x in (before, after)]
        assert rates[1] == pytest.approx(rates[0], rel=tolerance)
    assert set(after["weight/click"]) == {0, 1}
    assert set(after["weight/skip"]) == {1, np.float32(1 / KEEP)}


def test_batches_stay_full_and_lists_stay_with_their_rows(files):
    batches = list(read(files, shuffle_seed=1))
    assert {len(batch["user"]) for batch in batches[:-1]} == {256}
    assert all(batch["tags"].nrows() == len(batch["user"]) for batch in batches)


def test_each_epoch_draws_anew_and_each_run_the_same(files):
    first, again = read(files, shuffle_seed=1), read(files, shuffle_seed=1)
    epochs = [columns_of(first), columns_of(first)]
    sizes = [len(epoch["label/click"]) for epoch in epochs]
    np.testing.assert_array_equal(epochs[0]["label/skip"], columns_of(again)["label/skip"])
    assert sizes[0] != sizes[1]


@pytest.fixture(scope="module")
def ranker(files):
    keras.utils.set_random_seed(2)
    train = read(files, shuffle_seed=1)
    ranker = build_ranker(CONFIG, IDS, train)
    bias = ranker.heads["click"].bias.numpy()[0]
    labels = columns_of(train)
    rate = np.average(labels["label/click"], weights=labels["weight/click"])
    # The head starts at the rate among the rows that it is trained on.
    assert bias == pytest.approx(np.log(rate / (1 - rate)), abs=0.1)
    ranker.fit(train, epochs=12, verbose=0)
    return ranker


def test_predictions_are_calibrated_on_all_rows(ranker, files, truth):
    """Mean prediction over mean label, after one negative in ten was trained on."""
    everything = make_dataset(files, CONFIG, batch_size=NUM_ROWS)
    (rows,) = everything
    for task in ("click", "skip"):
        weights = rows[f"weight/{task}"].numpy()
        predicted = np.average(ranker.predict_values(rows)[task], weights=weights)
        rate = np.average(rows[f"label/{task}"], weights=weights)
        assert 0.98 <= predicted / rate <= 1.02


def test_the_correction_is_that_of_he_et_al(ranker, files):
    """q = p / (p + (1 - p) / w), where p is the probability among the rows kept."""
    rows = next(iter(make_dataset(files, CONFIG, batch_size=64)))
    among_kept = tf.sigmoid(ranker(rows, training=True)["click"]).numpy()
    expected = among_kept / (among_kept + (1 - among_kept) / KEEP)
    np.testing.assert_allclose(ranker.predict_values(rows)["click"], expected, rtol=1e-4)
    others = ranker(rows, training=True)["skip"]
    np.testing.assert_allclose(ranker(rows)["skip"], others, rtol=1e-6)


@pytest.mark.parametrize("keep", [0, 1, 1.5])
def test_a_share_is_between_0_and_1(keep):
    training = {"negative_sampling": {"task": "click", "keep": keep}}
    with pytest.raises(ValidationError):
        ModelConfig.model_validate({**CONFIG.model_dump(), "training": training})


def test_negatives_are_those_of_a_binary_task_of_the_config():
    training = {"negative_sampling": {"task": "buy", "keep": 0.5}}
    with pytest.raises(ValidationError, match="'buy' is no binary task"):
        ModelConfig.model_validate({**CONFIG.model_dump(), "training": training})


def test_a_joint_probability_is_learned_among_all_rows():
    """A funnel's loss weighs the rows kept, so its product needs the probability among all."""
    tasks = [
        {"name": "click", "label": {"column": "c"}},
        {"name": "buy", "label": {"column": "b"}, "funnel": "click"},
    ]
    config = ModelConfig.model_validate({**CONFIG.model_dump(), "tasks": tasks})
    ranker = MultiTaskRanker(config, IDS)
    rows = {"user": tf.constant([1, 2, 3], tf.int64), "tags": tf.zeros([3, 1], tf.int64)}
    trained, served = ranker(rows, training=True), ranker(rows)
    np.testing.assert_allclose(trained["buy"], served["buy"], rtol=1e-5)
    np.testing.assert_allclose(trained["click"] + np.log(KEEP), served["click"], rtol=1e-5)


def test_a_task_with_a_funnel_is_not_sampled():
    tasks = [
        {"name": "view", "label": {"column": "v"}},
        {"name": "click", "label": {"column": "c"}, "funnel": "view"},
    ]
    with pytest.raises(ValidationError, match="give the task at its start"):
        ModelConfig.model_validate({**CONFIG.model_dump(), "tasks": tasks})
