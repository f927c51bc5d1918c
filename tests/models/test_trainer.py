"""Reading transformed examples, starting heads, fitting, and what is left behind."""

import json

import numpy as np
import pytest
import tf_keras as keras

from taskroute.models.dataset import make_dataset
from taskroute.models.fitting import fit
from taskroute.models.trainer import write_summary
from taskroute.models.training import Trained, build_ranker
from taskroute.schemas.recommender import ModelConfig

NUM_ROWS = 2_000
CONFIG = ModelConfig.model_validate(
    {
        "features": [
            {"name": "user", "kind": "categorical", "hash_buckets": 49, "embedding_dim": 4},
            {"name": "tags", "kind": "multivalent", "hash_buckets": 9, "embedding_dim": 4},
            {"name": "age", "kind": "dense"},
        ],
        "tasks": [
            {"name": "click", "label": {"column": "c"}},
            {"name": "like", "label": {"column": "l"}, "trained_where": "click"},
            {
                "name": "watch",
                "kind": "regression",
                "label": {"column": "w", "transform": "log1p"},
                "trained_where": "click",
            },
        ],
        "trunk": {"kind": "snr_trans", "layers": [{"sub_networks": 2, "units": 8}]},
        "training": {
            "batch_size": 128,
            "epochs": 12,
            "patience": 3,
        },
    }
)
NUM_IDS = {"user": 50, "tags": 10}


@pytest.fixture(scope="module")
def files(tmp_path_factory, write_transformed):
    """Two files; the `age` of a row says which row it is."""
    folder = tmp_path_factory.mktemp("examples")
    random = np.random.default_rng(0)
    taste = random.normal(size=50)
    for shard, rows in enumerate(np.split(np.arange(NUM_ROWS), 2)):
        user = random.integers(50, size=len(rows))
        click = (random.random(len(rows)) < 1 / (1 + np.exp(-2 * taste[user]))).astype(float)
        columns = {
            "user": user,
            "tags": [list(range(row % 3)) for row in rows],
            "age": rows / NUM_ROWS,
            "age_missing": np.zeros(len(rows)),
            "label/click": click,
            "weight/click": np.ones(len(rows)),
            "label/like": rows % 2 * click,
            "weight/like": click,
            "label/watch": 3 * click,
            "weight/watch": click,
        }
        write_transformed(folder / f"transformed_examples-0000{shard}-of-00002.parquet", columns)
    return [str(folder / "*")]


def row_numbers(dataset):
    ages = np.concatenate([batch["age"].numpy() for batch in dataset])
    return np.rint(ages * NUM_ROWS).astype(int)


def test_every_row_is_read_once_in_batches_of_the_size_asked_for(files):
    dataset = make_dataset(files, CONFIG, batch_size=128)
    sizes = [len(batch["age"]) for batch in dataset]
    assert sizes == [128] * 15 + [80]
    assert sorted(row_numbers(dataset)) == list(range(NUM_ROWS))


def test_shuffling_is_anew_in_each_epoch_and_the_same_in_each_run(files):
    first = make_dataset(files, CONFIG, batch_size=128, shuffle_seed=3)
    epochs = [row_numbers(first), row_numbers(first)]
    again = make_dataset(files, CONFIG, batch_size=128, shuffle_seed=3)
    assert np.any(epochs[0] != epochs[1])
    np.testing.assert_array_equal(epochs[0], row_numbers(again))
    assert sorted(epochs[1]) == list(range(NUM_ROWS))


def test_lists_of_any_length_are_read(files):
    (batch,) = make_dataset(files, CONFIG, batch_size=NUM_ROWS)
    lengths = batch["tags"].row_lengths().numpy()
    assert set(lengths) == {0, 1, 2}


def test_heads_start_at_the_mean_of_their_labels(files):
    dataset = make_dataset(files, CONFIG, batch_size=128)
    ranker = build_ranker(CONFIG, NUM_IDS, dataset)
    (rows,) = make_dataset(files, CONFIG, batch_size=NUM_ROWS)
    rate = rows["label/click"].numpy().mean()
    bias = {name: head.bias.numpy()[0] for name, head in ranker.heads.items()}
    assert bias["click"] == pytest.approx(np.log(rate / (1 - rate)), rel=1e-2)
    assert bias["watch"] == pytest.approx(3.0)


@pytest.fixture(scope="module")
def trained(files, tmp_path_factory):
    keras.utils.set_random_seed(1)

    def train(epoch):
        return make_dataset(files, CONFIG, batch_size=128, shuffle_seed=1 + epoch)

    validation = make_dataset(files, CONFIG, batch_size=512)
    ranker = build_ranker(CONFIG, NUM_IDS, train(0))
    folder = tmp_path_factory.mktemp("run")
    history = fit(ranker, train, validation, CONFIG.training, str(folder))
    write_summary(Trained(ranker, None, None, history, {}), str(folder))
    return ranker, history, folder


def test_training_learns_what_the_user_decides(trained):
    _, history, _ = trained
    assert max(history["val_click_auc"]) > 0.75
    assert history["val_loss"][-1] < history["val_loss"][0]


def test_the_weights_kept_are_those_of_the_best_epoch(trained, files):
    ranker, history, _ = trained
    validation = make_dataset(files, CONFIG, batch_size=512)
    measured = ranker.evaluate(validation, verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(min(history["val_loss"]), rel=1e-5)


def test_the_validation_loss_is_that_of_all_rows_and_not_of_the_last_batch(trained, files):
    ranker, _, _ = trained
    losses = []
    for batch_size in (512, NUM_ROWS):
        dataset = make_dataset(files, CONFIG, batch_size=batch_size)
        losses.append(ranker.evaluate(dataset, verbose=0, return_dict=True)["click_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_every_weight_has_one_optimizer_and_moves(files):
    dataset = make_dataset(files, CONFIG, batch_size=128)
    ranker = build_ranker(CONFIG, NUM_IDS, dataset)
    before = [weight.numpy() for weight in ranker.trainable_variables]
    ranker.fit(dataset, epochs=1, verbose=0)
    for weight, old in zip(ranker.trainable_variables, before, strict=True):
        assert np.any(weight.numpy() != old), weight.name


def test_the_summary_holds_curves_parameters_and_routes(trained):
    ranker, history, folder = trained
    summary = json.loads((folder / "training.json").read_text())
    assert summary["epochs"] == len(history["val_loss"])
    weights = sum(weight.shape.num_elements() for weight in ranker.trainable_variables)
    assert summary["cost"][-1]["part"] == "total"
    assert summary["cost"][-1]["parameters"] == weights
    assert summary["served_cost"] == summary["cost"]
    assert summary["routing"][-1]["upper"] == ["click", "like", "watch"]
    assert len(summary["history"]["open_routes/tasks"]) == summary["epochs"]


def test_tensorboard_finds_curves_and_routes(trained):
    _, _, folder = trained
    names = {path.parent.name for path in folder.rglob("*tfevents*")}
    assert names == {"train", "validation", "routing"}
