"""A new ranker that goes on from an old one: what follows its term, and what starts afresh."""

import numpy as np
import pytest
import tensorflow as tf

from taskroute.models.training import build_ranker
from taskroute.models.warm_start import (
    FRESH,
    Ids,
    map_ids,
    read_terms,
    slots_by_name,
    warm_start,
    weights_by_name,
    write_warm_start,
)
from taskroute.schemas.features import BucketFeature
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.warm_start import WarmStartRecord

CONFIG = {
    "features": [
        {"name": "user", "kind": "categorical", "hash_buckets": 9, "embedding_dim": 4},
        {"name": "item", "kind": "categorical", "vocabulary": {"oov_buckets": 2}},
        {"name": "seen", "kind": "sequence", "shares": "item"},
        {"name": "tags", "kind": "multivalent", "vocabulary": {}, "embedding_dim": 4},
        {"name": "hour", "kind": "bucket", "boundaries": [6, 12, 18], "embedding_dim": 4},
        {"name": "age", "kind": "dense"},
        {"name": "any_user", "column": "user", "kind": "categorical", "table": "ids"},
    ],
    "tables": [{"name": "ids", "rows": 12, "embedding_dim": 8, "num_hashes": 2}],
    "interaction": {"kind": "cross", "layers": 1},
    "tasks": [
        {"name": "click", "label": {"column": "c"}},
        {"name": "like", "label": {"column": "l"}},
    ],
    "trunk": {"kind": "gumbel_matrix", "layers": [{"experts": 2, "units": [8]}]},
}


def with_features(**changes):
    features = [{**f, **changes.get(f["name"], {})} for f in CONFIG["features"]]
    return ModelConfig.model_validate({**CONFIG, "features": features})


class Side:
    """A config, its vocabularies and a ranker."""

    def __init__(self, folder, config=None, item="abc", tags="xyz", hour=(6.0, 12.0, 18.0)):
        folder.mkdir()
        self.config = config or ModelConfig.model_validate(CONFIG)
        vocabularies = {}
        for name, terms in (("item", item), ("tags", tags)):
            vocabularies[name] = str(folder / name)
            (folder / name).write_text("".join(f"{term}\n" for term in terms))
        oov = {f.name: f.vocabulary.oov_buckets for f in self.config.features[1:4:2]}
        users = self.config.features[0].hash_buckets + 1
        items = len(item) + oov["item"] + 1
        number = {
            "user": users,
            "item": items,
            "seen": items,
            "tags": len(tags) + oov["tags"] + 1,
            "hour": len(hour) + 2,
            "any_user": 2**52 + 1,
        }
        self.ids = Ids(number, vocabularies, {"hour": hour})
        rows = {
            **{n: tf.constant([1, 0], tf.int64) for n in ("user", "item", "hour", "any_user")},
            **{name: tf.ragged.constant([[1], [1, 2]], tf.int64) for name in ("seen", "tags")},
            **{name: tf.constant([0.0, 1.0]) for name in ("age", "age_missing")},
            **{f"{k}/{t}": tf.constant([0.0, 1.0]) for k in ("label", "weight") for t in TASKS},
        }
        self.dataset = tf.data.Dataset.from_tensors(rows)
        self.ranker = build_ranker(self.config, number, self.dataset)

    def write(self, folder):
        record = WarmStartRecord(
            config="{}",
            trained=self.config.model_dump_json(),
            serving="{}",
            data_span=None,
            num_ids=self.ids.number,
            boundaries=self.ids.boundaries,
        )
        write_warm_start(str(folder), self.ranker, self.ids, record)

    def take(self, folder):
        return warm_start(self.ranker, self.config, self.ids, str(folder))

    def row(self, name, index):
        place = self.ranker.embedding.rows[name]
        return self.ranker.embedding.tables[str(place.width)].numpy()[place.first + index]


TASKS = ("click", "like")


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    side = Side(folder / "files")
    side.ranker.fit(side.dataset, epochs=2, verbose=0)
    side.write(folder / "written")
    side.folder = folder / "written"
    return side


def test_a_term_keeps_its_row_wherever_the_new_vocabulary_puts_it(old, tmp_path):
    new = Side(tmp_path / "files", item="dcab")
    before = new.row("item", 1).copy()
    started = new.take(old.folder)
    # Old ids: 0 missing, 1 a, 2 b, 3 c, 4 and 5 OOV. New: 0 missing, 1 d, 2 c, 3 a, 4 b, 5, 6 OOV.
    for index, was in {0: 0, 2: 3, 3: 1, 4: 2, 5: 4, 6: 5}.items():
        np.testing.assert_array_equal(new.row("item", index), old.row("item", was))
    np.testing.assert_array_equal(new.row("item", 1), before)
    assert started.rows - started.rows_taken == 1


def test_all_else_of_an_unchanged_config_is_as_it_was(old, tmp_path):
    new = Side(tmp_path / "files")
    started = new.take(old.folder)
    assert (started.rows_taken, started.weights_taken) == (started.rows, started.weights)
    assert started.reasons == []
    for name, weight in weights_by_name(new.ranker).items():
        np.testing.assert_array_equal(weight, weights_by_name(old.ranker)[name], err_msg=name)
    for name, slot in slots_by_name(new.ranker).items():
        np.testing.assert_array_equal(slot, slots_by_name(old.ranker)[name], err_msg=name)


def test_accumulators_follow_their_rows(old, tmp_path):
    new = Side(tmp_path / "files", tags="zq")
    new.take(old.folder)
    key = "embedding/table_4|Adagrad.0"
    first = new.ranker.embedding.rows["tags"].first
    was = old.ranker.embedding.rows["tags"].first
    accumulators, before = (slots_by_name(s.ranker)[key].numpy() for s in (new, old))
    # 1 is z, which had id 3; q is new.
    np.testing.assert_array_equal(accumulators[first + 1], before[was + 3])
    np.testing.assert_array_equal(accumulators[first + 2], np.full(4, 1e-5, np.float32))


def test_weights_that_a_balancer_learns_begin_afresh(tmp_path):
    balance = {"training": {"balance": {"kind": "uncertainty"}}}
    config = ModelConfig.model_validate({**CONFIG, **balance})
    old = Side(tmp_path / "old", config)
    old.ranker.fit(old.dataset, epochs=2, verbose=0)
    old.write(tmp_path / "written")
    new = Side(tmp_path / "new", config)
    fresh = new.ranker.balancer.log_variances.numpy()
    assert new.take(tmp_path / "written").reasons == []
    np.testing.assert_array_equal(new.ranker.balancer.log_variances, fresh)
    assert (old.ranker.balancer.log_variances.numpy() != fresh).any()


def test_optimizers_start_afresh_where_the_config_says_so(old, tmp_path):
    training = {"training": {"warm_start": {"optimizer": "fresh"}}}
    new = Side(tmp_path / "files", ModelConfig.model_validate({**CONFIG, **training}))
    new.take(old.folder)
    slots = slots_by_name(new.ranker)
    assert all(slot.numpy() == 0 for name, slot in slots.items() if "|" not in name)
    np.testing.assert_array_equal(new.row("item", 2), old.row("item", 2))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"user": {"hash_buckets": 8}}, [FRESH] * 9),
        ({"user": {"hash_buckets": 9}}, list(range(10))),
    ],
)
def test_ids_by_hash_mean_the_same_where_there_are_as_many(old, change, expected):
    config = with_features(**change)
    number = {"user": config.features[0].hash_buckets + 1}
    mapped = map_ids(config.features[0], Ids(number, {}, {}), old.config.features[0], old.ids)
    assert mapped.tolist() == expected


def test_a_bucket_keeps_its_row_where_both_its_ends_are_the_same(old):
    feature = old.config.features[4]
    ids = Ids({"hour": 6}, {}, {"hour": (3.0, 6.0, 12.0, 17.0)})
    # Buckets: to 3, to 6, 6 to 12, to 17, from 17. Of the old ones only 6 to 12 is still there.
    assert map_ids(feature, ids, feature, old.ids).tolist() == [0, FRESH, FRESH, 2, FRESH, FRESH]


def test_fewer_boundaries_than_asked_for_leave_ids_that_no_row_has(old):
    feature = BucketFeature(name="hour", kind="bucket", num_quantiles=6)
    few, fewer = (
        Ids({"hour": 7}, {}, {"hour": boundaries}) for boundaries in ((6.0, 12.0), (6.0,))
    )
    # 0 missing, 1 up to 6; the bucket from 6 on has another end.
    assert map_ids(feature, fewer, feature, few).tolist() == [0, 1, *[FRESH] * 5]
    assert map_ids(feature, few, feature, few).tolist() == [0, 1, 2, 3, *[FRESH] * 3]
    # Version 0.1.0 left repeated boundaries.
    repeated = Ids({"hour": 7}, {}, {"hour": (6.0, 6.0, 6.0, 12.0, 12.0)})
    assert map_ids(feature, few, feature, repeated).tolist() == [0, 1, 4, 6, *[FRESH] * 3]


def test_another_number_of_oov_buckets_starts_them_afresh(old, tmp_path):
    config = with_features(item={"vocabulary": {"oov_buckets": 3}})
    new = Side(tmp_path / "files", config, item="b")
    mapped = map_ids(config.features[1], new.ids, old.config.features[1], old.ids)
    assert mapped.tolist() == [0, 2, FRESH, FRESH, FRESH]


def test_another_trunk_starts_afresh_and_says_so(old, tmp_path):
    config = ModelConfig.model_validate({**CONFIG, "trunk": {"kind": "shared_bottom"}})
    new = Side(tmp_path / "files", config)
    before = {name: weight.numpy() for name, weight in weights_by_name(new.ranker).items()}
    started = new.take(old.folder)
    assert "trunk: was gumbel_matrix, is shared_bottom" in started.sentence
    for name, weight in weights_by_name(new.ranker).items():
        if name.startswith("trunk/"):
            np.testing.assert_array_equal(weight, before[name], err_msg=name)
    np.testing.assert_array_equal(new.row("item", 1), old.row("item", 1))
    head = "head_click/bias.1"
    expected = weights_by_name(old.ranker)[head].numpy()
    assert weights_by_name(new.ranker)[head].numpy() == pytest.approx(expected)


def test_a_trunk_whose_inputs_changed_places_starts_afresh(old, tmp_path):
    # Every shape is the same: two features of one width, in another order.
    user, item, seen, tags, hour, age, any_user = CONFIG["features"]
    features = [user, item, age, tags, hour, seen, any_user]
    new = Side(tmp_path / "files", ModelConfig.model_validate({**CONFIG, "features": features}))
    started = new.take(old.folder)
    assert "trunk: its inputs are other features, or in another order" in started.sentence
    assert started.rows_taken == started.rows


def test_a_width_that_changed_starts_the_feature_afresh(old, tmp_path):
    new = Side(tmp_path / "files", with_features(tags={"embedding_dim": 8}))
    started = new.take(old.folder)
    assert "tags: no ids as before" in started.reasons
    np.testing.assert_array_equal(new.row("hour", 1), old.row("hour", 1))


def test_a_term_keeps_its_rows_of_a_table_wherever_the_table_is(old, tmp_path):
    # Another feature of its width, before it: all rows of the table move.
    fewer = with_features(user={"hash_buckets": 8})
    new = Side(tmp_path / "files", fewer)
    started = new.take(old.folder)
    assert started.reasons == ["user: no ids as before"]
    places = [side.ranker.embedding.rows["any_user"] for side in (new, old)]
    assert places[0].first == places[1].first - 1
    key = "embedding/table_4|Adagrad.0"
    for side_of in (
        lambda side: side.ranker.embedding.tables["4"],
        lambda side: slots_of(side)[key],
    ):
        embedded = [
            side_of(side).numpy()[place.find(tf.constant([0, 1, 2**52], tf.int64))]
            for side, place in zip((new, old), places, strict=True)
        ]
        np.testing.assert_array_equal(*embedded)


def slots_of(side):
    return slots_by_name(side.ranker)


@pytest.mark.parametrize("change", [{"rows": 13}, {"name": "others"}])
def test_a_table_of_another_form_starts_afresh_and_says_so(old, tmp_path, change):
    table = {**CONFIG["tables"][0], **change}
    features = [{**f, "table": table["name"]} if "table" in f else f for f in CONFIG["features"]]
    config = ModelConfig.model_validate({**CONFIG, "features": features, "tables": [table]})
    started = Side(tmp_path / "files", config).take(old.folder)
    assert started.reasons == [f"table {table['name']}: no such table before"]
    assert started.rows - started.rows_taken == table["rows"]
    assert started.weights_taken == started.weights


def test_other_hashes_change_what_the_trunk_reads(old, tmp_path):
    # The same width in all, of which another share stands in each place.
    table = {**CONFIG["tables"][0], "num_hashes": 4}
    config = ModelConfig.model_validate({**CONFIG, "tables": [table]})
    started = Side(tmp_path / "files", config).take(old.folder)
    assert "trunk: its inputs are other features, or in another order" in started.reasons


def test_products_of_other_features_are_not_taken_over(old, tmp_path):
    config = ModelConfig.model_validate({**CONFIG, "interaction": {"kind": "cross", "layers": 2}})
    new = Side(tmp_path / "files", config)
    before = {name: weight.numpy() for name, weight in weights_by_name(new.ranker).items()}
    started = new.take(old.folder)
    assert started.reasons == ["trunk: its inputs are other products of features"]
    for name, weight in weights_by_name(new.ranker).items():
        if name.startswith(("trunk/", "interaction/")):
            np.testing.assert_array_equal(weight, before[name], err_msg=name)
    assert started.rows_taken == started.rows


def test_a_folder_without_a_warm_start_leaves_the_ranker_as_it_is(tmp_path):
    new = Side(tmp_path / "files")
    assert new.take(tmp_path / "nothing") is None
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "record.json").write_text("{}")
    assert new.take(tmp_path / "broken") is None


@pytest.mark.parametrize(
    ("content", "terms"),
    [
        (b"a\nbb\n", [b"a", b"bb"]),
        (b"a\n\nb", [b"a", b"", b"b"]),
        (b"", []),
        (b"\xff\n", [b"\xff"]),
    ],
)
def test_terms_are_the_lines_of_a_file(tmp_path, content, terms):
    (tmp_path / "terms").write_bytes(content)
    assert read_terms(str(tmp_path / "terms")).to_pylist() == terms


def test_a_hundred_thousand_terms_are_mapped_at_once(tmp_path, old):
    random = np.random.default_rng(0)
    terms = random.permutation(100_000)
    (tmp_path / "old").write_text("\n".join(map(str, range(100_000))))
    (tmp_path / "new").write_text("\n".join(map(str, terms)))
    ids, old_ids = (Ids({"item": 100_003}, {"item": str(tmp_path / n)}, {}) for n in ("new", "old"))
    feature = old.config.features[1]
    mapped = map_ids(feature, ids, feature, old_ids)
    np.testing.assert_array_equal(mapped[1:-2], terms + 1)
