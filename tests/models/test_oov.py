"""Ids that a training drops to OOV: which, how many, and what their rows of the table learn."""

import numpy as np
import pytest
import tensorflow as tf

from taskroute.models.dataset import make_dataset
from taskroute.models.oov import OovDrop, fill_missing_rows, missing_rows, oov_ids
from taskroute.models.training import build_ranker
from taskroute.schemas.recommender import ModelConfig

CONFIG = ModelConfig.model_validate(
    {
        "features": [
            {"name": "item", "kind": "categorical", "vocabulary": {"oov_buckets": 3}},
            {"name": "history", "kind": "sequence", "shares": "item"},
            {"name": "user", "kind": "categorical", "hash_buckets": 50},
            {"name": "city", "kind": "categorical", "vocabulary": {"oov_buckets": 2}, "table": "t"},
            {"name": "age", "kind": "bucket", "boundaries": [30]},
        ],
        "tables": [{"name": "t", "rows": 100, "embedding_dim": 8, "num_hashes": 2}],
        "tasks": [{"name": "click", "label": {"column": "clicked"}}],
        "trunk": {"kind": "shared_bottom", "units": [4]},
        "towers": {"units": [4]},
        "training": {"embedding_learning_rate": 0.1},
    }
)
NUM_IDS = {"item": 24, "history": 24, "user": 51, "city": 2**52 + 1, "age": 3}
# 20 items of an id each, then 3 OOV ids.
ITEM_OOV, CITY_OOV = range(21, 24), range(1, 3)
NUM_ROWS = 4_000


def test_oov_ids_are_those_after_the_terms_and_the_first_ones_of_a_table():
    assert oov_ids(CONFIG, NUM_IDS) == {
        "item": ITEM_OOV,
        "history": ITEM_OOV,
        "city": CITY_OOV,
    }


class TestDrop:
    drop = OovDrop(0.05, {"item": ITEM_OOV, "city": CITY_OOV})

    @staticmethod
    def draw(ids, name="item", drop=drop, seed=1):
        return drop(name, ids, np.random.default_rng(seed))

    def test_the_rate_of_all_ids_becomes_oov_in_even_parts_and_no_other_id_changes(self):
        ids = np.tile(np.arange(1, 21), 5_000)
        dropped = self.draw(ids)
        changed = dropped != ids
        assert changed.mean() == pytest.approx(0.05, abs=0.003)
        counts = np.bincount(dropped[changed], minlength=24)
        assert counts[:21].sum() == 0
        assert counts[21:] / changed.sum() == pytest.approx(1 / 3, abs=0.03)
        # Each id loses as many of its rows.
        assert np.bincount(ids[changed])[1:] / 5_000 == pytest.approx(0.05, abs=0.02)

    def test_missing_ids_stay_missing(self):
        ids = np.zeros(1_000, np.int64)
        assert (self.draw(ids) == 0).all()
        ids[::2] = 4
        dropped = self.draw(ids)
        assert (dropped[1::2] == 0).all()
        assert 5 < (dropped[::2] != 4).sum() < 60

    def test_a_vocabulary_that_leaves_as_many_rows_to_oov_loses_no_id(self):
        ids = np.where(np.arange(1_000) % 20 == 0, 22, 5)
        assert (self.draw(ids) == ids).all()

    def test_one_that_leaves_fewer_loses_as_many_as_lack(self):
        ids = np.where(np.arange(100_000) % 50 == 0, 22, 5)
        dropped = self.draw(ids)
        assert (dropped[::50] == 22).all()
        assert np.isin(dropped, ITEM_OOV).mean() == pytest.approx(0.05, abs=0.003)

    def test_in_a_table_oov_comes_before_the_hashes(self):
        ids = np.full(10_000, 2**40)
        dropped = self.draw(ids, "city")
        assert set(dropped) == {1, 2, 2**40}

    def test_the_same_generator_drops_the_same_and_another_does_not(self):
        ids = np.full(1_000, 7)
        assert (self.draw(ids) == self.draw(ids)).all()
        assert (self.draw(ids) != self.draw(ids, seed=2)).any()

    @pytest.mark.parametrize(("name", "rate"), [("user", 0.5), ("item", 0.0)])
    def test_hashes_and_a_rate_of_0_change_nothing(self, name, rate):
        ids = np.full(1_000, 7)
        assert self.draw(ids, name, OovDrop(rate, self.drop.oov)) is ids

    def test_no_ids_are_no_fault(self):
        assert len(self.draw(np.empty(0, np.int64))) == 0


@pytest.fixture(scope="module")
def files(tmp_path_factory, write_transformed):
    random = np.random.default_rng(1)
    items = random.integers(1, 21, NUM_ROWS)
    columns = {
        "item": items,
        "history": [[item, item] for item in items],
        "user": random.integers(1, 51, NUM_ROWS),
        "city": random.integers(3, 2**50, NUM_ROWS),
        "age": random.integers(1, 3, NUM_ROWS),
        "label/click": (items < 15).astype(np.float32),
        "weight/click": np.ones(NUM_ROWS, np.float32),
    }
    path = tmp_path_factory.mktemp("train") / "rows.parquet"
    write_transformed(path, columns)
    return [str(path)]


def read(files, rate, seed=1):
    drop = OovDrop(rate, oov_ids(CONFIG, NUM_IDS))
    return make_dataset(files, CONFIG, batch_size=256, shuffle_seed=seed, change_ids=drop)


def column(batches, name):
    values = [batch[name] for batch in batches]
    return np.concatenate(
        [(v.values if isinstance(v, tf.RaggedTensor) else v).numpy() for v in values]
    )


def test_rows_keep_their_order_and_all_but_dropped_ids(files):
    with_drop, without = list(read(files, 0.1)), list(read(files, 0.0))
    for name in ("user", "age", "label/click"):
        assert (column(with_drop, name) == column(without, name)).all()
    for name, oov in {"item": ITEM_OOV, "history": ITEM_OOV, "city": CITY_OOV}.items():
        dropped, whole = column(with_drop, name), column(without, name)
        changed = dropped != whole
        assert changed.mean() == pytest.approx(0.1, abs=0.02)
        assert np.isin(dropped[changed], oov).all()


def test_ids_are_dropped_anew_in_each_pass_and_epoch_and_again_the_same(files):
    def is_dropped(dataset):
        return np.isin(column(dataset, "item"), ITEM_OOV)

    dataset, again = read(files, 0.1), read(files, 0.1)
    first, second = is_dropped(dataset), is_dropped(dataset)
    assert (first != second).any()
    assert (first == is_dropped(again)).all()
    assert (second == is_dropped(again)).all()
    assert (first != is_dropped(read(files, 0.1, seed=2))).any()


def test_a_rate_of_0_gives_the_batches_of_a_reader_without_a_drop(files):
    plain = list(make_dataset(files, CONFIG, batch_size=256, shuffle_seed=1))
    for batch, other in zip(read(files, 0.0), plain, strict=True):
        for name, values in batch.items():
            dense = [
                v.to_tensor() if isinstance(v, tf.RaggedTensor) else v
                for v in (values, other[name])
            ]
            assert (dense[0] == dense[1]).numpy().all()


@pytest.mark.parametrize("rate", [0.0, 0.05])
def test_oov_rows_are_trained_and_only_with_a_rate(files, rate):
    tf.keras.utils.set_random_seed(1)
    ranker = build_ranker(CONFIG, NUM_IDS, read(files, rate))
    place = ranker.embedding.rows["item"]
    table = ranker.embedding.tables[str(place.width)]
    rows = np.arange(place.first + ITEM_OOV.start, place.first + ITEM_OOV.stop)
    first = table.numpy()[rows]
    ranker.fit(read(files, rate), epochs=2, verbose=0)
    moved = np.abs(table.numpy()[rows] - first).max(axis=1)
    assert (moved > 0.01).all() if rate else (moved == 0).all()


def test_a_missing_value_that_no_train_row_had_takes_the_mean_of_the_oov_rows(files):
    tf.keras.utils.set_random_seed(1)
    oov = oov_ids(CONFIG, NUM_IDS)
    ranker = build_ranker(CONFIG, NUM_IDS, read(files, 0.05))
    place = ranker.embedding.rows["item"]
    table = ranker.embedding.tables[str(place.width)]
    first = missing_rows(ranker, oov)
    # A city has no row of its own.
    assert first.keys() == {"item", "history"}
    ranker.fit(read(files, 0.05), epochs=1, verbose=0)
    before = table.numpy()
    fill_missing_rows(ranker, oov, first)
    after = table.numpy()
    expected = before[place.first + 21 : place.first + 24].mean(axis=0)
    assert after[place.first] == pytest.approx(expected)
    assert (np.delete(after, place.first, 0) == np.delete(before, place.first, 0)).all()


def test_a_missing_value_that_has_learned_stays(files):
    tf.keras.utils.set_random_seed(1)
    oov = oov_ids(CONFIG, NUM_IDS)
    ranker = build_ranker(CONFIG, NUM_IDS, read(files, 0.05))
    place = ranker.embedding.rows["item"]
    table = ranker.embedding.tables[str(place.width)]
    first = missing_rows(ranker, oov)
    learned = table.numpy()
    learned[place.first, 0] += 0.001
    table.assign(learned)
    fill_missing_rows(ranker, oov, first)
    assert (table.numpy() == learned).all()
