"""A training that was killed goes on, and comes to what it would have come to."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from taskroute.models import fitting
from taskroute.models.checkpoint import Checkpoints, optimizer_variables
from taskroute.models.distribution import distributed
from taskroute.models.divergence import describe_divergence, diverged_tasks
from taskroute.models.fitting import Progress, fit
from taskroute.models.training import build_ranker
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import ModelConfig

CONFIG = ModelConfig.model_validate(
    {
        "features": [
            {"name": "user", "kind": "categorical", "hash_buckets": 49, "embedding_dim": 4},
            {"name": "age", "kind": "dense"},
        ],
        "tasks": [
            {"name": "click", "label": {"column": "c"}},
            {"name": "like", "label": {"column": "l"}},
        ],
        "trunk": {
            "kind": "snr_trans",
            "layers": [{"sub_networks": 2, "units": 8}],
            "dropout": 0.2,
        },
        "training": {"batch_size": 64, "epochs": 5, "patience": 3},
    }
)
NUM_IDS = {"user": 50}
NUM_ROWS = 500


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    user = random.integers(1, 50, NUM_ROWS)
    click = random.random(NUM_ROWS) < 1 / (1 + np.exp(-2 * random.normal(size=50)[user]))
    return {
        "user": user,
        "age": random.normal(size=NUM_ROWS).astype(np.float32),
        "age_missing": np.zeros(NUM_ROWS, np.float32),
        **{f"label/{task}": click.astype(np.float32) for task in ("click", "like")},
        **{f"weight/{task}": np.ones(NUM_ROWS, np.float32) for task in ("click", "like")},
    }


@pytest.fixture
def train(rows):
    dataset = tf.data.Dataset.from_tensor_slices(rows)
    return lambda epoch: (dataset if epoch is None else dataset.shuffle(NUM_ROWS, epoch)).batch(64)


def with_labels(train, value, epochs=None):
    """Rows of `train` whose second task is a regression of one huge label, in some epochs."""

    def rows(epoch):
        if epochs is not None and epoch not in epochs:
            return train(epoch)
        return train(epoch).map(lambda row: {**row, "label/like": row["label/like"] * value})

    return rows


def regression(**label):
    like = {"name": "like", "kind": "regression", "label": {"column": "l", **label}}
    config = CONFIG.model_dump(mode="json")
    config["tasks"][1] = like
    return ModelConfig.model_validate(config)


@pytest.mark.parametrize(
    ("label", "value", "cause"),
    [
        ({}, 1e25, r"a label is 1e\+25: give `label.maximum` or `label.transform: log1p`"),
        ({"maximum": 1e30}, 1e25, r"a label is 1e\+25: give a smaller `label.maximum`"),
    ],
)
def test_a_loss_that_is_no_number_names_the_label(train, label, value, cause):
    config, huge = regression(**label), with_labels(train, value)
    ranker = build_ranker(config, NUM_IDS, huge(0))
    sentence = f"^the loss of task 'like' is no number at epoch 1; {cause}$"
    with pytest.raises(DataError, match=sentence):
        fit(ranker, huge, huge(None), config.training)


def test_a_loss_that_is_no_number_names_the_weight(train):
    tasks = [CONFIG.tasks[0], CONFIG.tasks[1].model_copy(update={"weight": "w"})]
    batch = {"label/like": np.ones(2), "weight/like": np.array([1.0, 3e38])}
    logs = {"click_loss": 0.5, "val_click_loss": 0.5, "like_loss": 0.5, "val_like_loss": np.inf}
    assert diverged_tasks(tasks, logs) == tasks[1:]
    assert describe_divergence(tasks[1:], 2, [[batch]]) == (
        "the loss of task 'like' is no number at epoch 2; a weight, column 'w', is 3e+38: give "
        "smaller ones"
    )
    batch["weight/like"] = np.ones(2)
    assert describe_divergence(tasks[1:], 2, [[batch]]).endswith("lower `training.learning_rate`")


def test_a_training_that_diverges_later_keeps_the_best_epoch_before(train):
    config = regression()
    ranker = build_ranker(config, NUM_IDS, train(0))
    history = fit(ranker, with_labels(train, 1e30, {2}), train(None), config.training)
    assert len(history["val_loss"]) == 2
    assert np.isfinite(history["val_loss"]).all()
    assert all(np.isfinite(weight.numpy()).all() for weight in ranker.model_weights())


class KilledError(Exception):
    pass


def trained(train, folder, log_dir, killed_in=None, monkeypatch=None):
    """As a process of its own would: everything is made anew."""
    keras.utils.set_random_seed(1)
    ranker = build_ranker(CONFIG, NUM_IDS, train(0))
    if killed_in is not None:
        save = Checkpoints.save

        def save_or_die(self, name, progress, keep):
            if progress["epochs"] == killed_in:
                raise KilledError
            save(self, name, progress, keep)

        monkeypatch.setattr(Checkpoints, "save", save_or_die)
        with pytest.raises(KilledError):
            fit(ranker, train, train(None), CONFIG.training, str(log_dir), str(folder))
        monkeypatch.undo()
        return None
    history = fit(ranker, train, train(None), CONFIG.training, str(log_dir), str(folder))
    return ranker, history


@pytest.fixture
def whole(train, tmp_path):
    return trained(train, tmp_path / "whole", tmp_path / "log")


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bits(train, tmp_path, monkeypatch, whole):
    epochs = []
    one_epoch = fitting._one_epoch
    for killed_in in (1, 3, 4):
        trained(train, tmp_path / "again", tmp_path / "log", killed_in, monkeypatch)

    def count(ranker, steps, rows, epoch):
        epochs.append(epoch)
        return one_epoch(ranker, steps, rows, epoch)

    monkeypatch.setattr(fitting, "_one_epoch", count)
    ranker, history = trained(train, tmp_path / "again", tmp_path / "log")
    assert epochs == list(range(3, len(history["val_loss"])))
    assert history == whole[1]
    for found, expected in zip(ranker.model_weights(), whole[0].model_weights(), strict=True):
        np.testing.assert_array_equal(found, expected, err_msg=expected.name)


def test_a_finished_training_is_not_trained_again(train, tmp_path, monkeypatch, whole):
    monkeypatch.setattr(fitting, "_one_epoch", None)
    ranker, history = trained(train, tmp_path / "whole", tmp_path / "log")
    assert history == whole[1]
    for found, expected in zip(ranker.model_weights(), whole[0].model_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_in_mixed_precision_weights_tables_and_logits_stay_float32(train, tmp_path, whole):
    training = CONFIG.training.model_copy(update={"mixed_precision": True, "epochs": 1})
    with distributed(training):
        keras.utils.set_random_seed(1)
        ranker = build_ranker(CONFIG, NUM_IDS, train(0))
        assert ranker.trunk.compute_dtype == "bfloat16"
        history = fit(ranker, train, train(None), training, str(tmp_path))
        (rows,) = train(None).take(1)
        outputs = [ranker.embedding(rows), *ranker(rows).values(), *ranker.trainable_variables]
    assert {output.dtype for output in outputs} == {tf.float32}
    assert history["val_loss"][0] == pytest.approx(whole[1]["val_loss"][0], rel=0.01)


def test_only_the_last_moment_and_those_asked_for_are_kept(train, tmp_path):
    ranker = build_ranker(CONFIG, NUM_IDS, train(0))
    checkpoints = Checkpoints(ranker, str(tmp_path))
    for epoch in (1, 2, 3, 4):
        ranker.heads["click"].bias.assign([epoch])
        checkpoints.save(f"epoch-{epoch}", {"epochs": epoch}, keep=["epoch-2"])
    names = {path.stem for path in tmp_path.iterdir()}
    assert names == {"epoch-2", "epoch-4", "progress"}
    checkpoints.load("epoch-2")
    assert ranker.heads["click"].bias.numpy() == 2.0


def test_files_and_folders_that_are_no_moments_stay(train, tmp_path):
    checkpoints = Checkpoints(build_ranker(CONFIG, NUM_IDS, train(0)), str(tmp_path))
    (tmp_path / "routing").mkdir()
    (tmp_path / "notes.txt").write_text("of somebody else")
    for name in ("first", "second"):
        checkpoints.save(name, {"at": name})
    names = {path.name.partition(".")[0] for path in tmp_path.iterdir()}
    assert names == {"routing", "notes", "progress", "second"}


def test_a_training_leaves_its_last_and_its_best_epoch(tmp_path, whole):
    losses = whole[1]["val_loss"]
    best = losses.index(min(losses)) + 1
    names = {path.stem for path in (tmp_path / "whole").iterdir()}
    assert names == {f"epoch-{best}", f"epoch-{len(losses)}", "progress"}


def test_a_half_written_checkpoint_is_as_if_it_were_not_there(train, tmp_path):
    ranker = build_ranker(CONFIG, NUM_IDS, train(0))
    Checkpoints(ranker, str(tmp_path)).save("epoch-1", {"epochs": 1})
    (tmp_path / "epoch-2.index").write_text("")
    (tmp_path / "progress.json.tmp").write_text('{"epo')
    checkpoints = Checkpoints(ranker, str(tmp_path))
    assert checkpoints.read() == {"epochs": 1}
    checkpoints.load("epoch-1")


def test_the_state_of_every_optimizer_is_saved(train):
    ranker = build_ranker(CONFIG, NUM_IDS, train(0))
    names = [variable.name for variable in optimizer_variables(ranker)]
    assert sum(name.startswith("iteration") for name in names) == 3
    assert len(names) == len([variable.name for variable in optimizer_variables(ranker)])


@pytest.mark.parametrize(
    ("losses", "best"), [([3, 2, 1], 3), ([1, 2, 3], 1), ([float("nan"), 2], 2), ([2, 2], 1)]
)
def test_the_best_epoch_is_the_first_with_the_lowest_loss(losses, best):
    progress = Progress()
    for loss in losses:
        progress.add_epoch({"val_loss": loss})
    assert progress.best_epoch == best
