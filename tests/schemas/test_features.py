"""Features that share ids: what is allowed, and what follows for vocabularies and columns."""

import pytest
import yaml

from taskroute.schemas.analysis import counted_columns, vocabulary_of
from taskroute.schemas.columns import RawColumn, feature_columns
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.features import ids_owner
from taskroute.schemas.log_schema import make_schema
from taskroute.schemas.recommender import DataConfig, load_config

ITEM = {"name": "item", "kind": "categorical", "vocabulary": {"min_count": 2}, "embedding_dim": 8}
AGE = {"name": "age", "kind": "dense"}
TASKS = [{"name": "click", "label": {"column": "clicked"}}]


def history(**fields):
    return {"name": "history", "kind": "sequence", "shares": "item", **fields}


def data(*features):
    return DataConfig.model_validate({"features": features, "tasks": TASKS})


def refusal(tmp_path, *features):
    path = tmp_path / "shop.yaml"
    source = {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}}
    config = {"name": "shop", "source": source, "features": list(features), "tasks": TASKS}
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError) as error:
        load_config(path)
    message = str(error.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([ITEM, history(shares="itm")], "features[1].shares: 'itm' is not another feature's name"),
        ([ITEM, history(shares="history")], "features[1].shares: 'history' is not another"),
        (
            [AGE, history(shares="age")],
            "features[1].shares: 'age' is a dense feature, whose values are no terms",
        ),
        (
            [ITEM, history(), {**history(shares="history"), "name": "older"}],
            "features[2].shares: 'history' has the ids of 'item' itself; share those",
        ),
        (
            [ITEM, history(embedding_dim=8)],
            "features[1].embedding_dim: is that of 'item', which this feature shares; leave it out",
        ),
        ([ITEM, {**ITEM, "name": "i", "embedding_dim": None}], "features[1].embedding_dim: must"),
        ([ITEM, history(hash_buckets=9)], "features[1]: give either `vocabulary` or"),
        ([ITEM, history(vocabulary={})], "features[1]: give either `vocabulary` or"),
        ([ITEM, history(shares=None)], "features[1]: give either `vocabulary` or"),
        ([ITEM, history(max_length=0)], "features[1].max_length: Input should be greater than 0"),
        ([ITEM, history(pooling="max")], "features[1].pooling: Input should be 'mean', 'sum' or"),
        ([ITEM, history(separator="")], "features[1].separator: String should have at least 1"),
        (
            [ITEM, history(column="item")],
            "features[1]: column 'item' is read as sequence here and as categorical by 'item'",
        ),
        (
            [ITEM, {**history(pooling="attention"), "kind": "multivalent"}],
            "features[1].pooling: Input should be 'mean' or 'sum'",
        ),
    ],
)
def test_what_cannot_be_shared_is_named_in_one_sentence(tmp_path, features, message):
    assert refusal(tmp_path, *features).startswith(message)


@pytest.mark.parametrize("kind", ["categorical", "multivalent", "sequence"])
def test_any_feature_of_terms_may_share_and_survives_json(kind):
    config = data({"name": "liked", "kind": kind, "shares": "item"}, ITEM)
    assert DataConfig.model_validate_json(config.model_dump_json()) == config
    liked, item = config.features
    assert ids_owner(liked, config.features) is ids_owner(item, config.features) is item
    assert vocabulary_of(liked) is None


def test_the_width_is_16_where_nothing_says_otherwise():
    (alone,) = data({"name": "history", "kind": "sequence", "hash_buckets": 9}).features
    assert alone.embedding_dim == 16
    assert alone.max_length == 50


def test_a_vocabulary_counts_each_column_once_and_of_sequences_what_is_kept():
    config = data(
        ITEM,
        history(max_length=5),
        history(max_length=9) | {"name": "longer", "column": "history"},
        {"name": "again", "column": "item", "kind": "categorical", "shares": "item"},
        {"name": "liked", "kind": "multivalent", "shares": "item"},
        {"name": "user", "kind": "categorical", "hash_buckets": 9},
        {"name": "friends", "kind": "sequence", "shares": "user"},
        {"name": "words", "kind": "sequence", "vocabulary": {}, "max_length": 3},
        AGE,
    )
    assert counted_columns(config.features) == {
        "item": {"item": None, "history": 9, "liked": None},
        "words": {"words": 3},
    }


def test_the_column_of_a_sequence_holds_lists():
    config = data(ITEM, history(separator=";"))
    assert feature_columns(config) == (
        RawColumn("item", "text"),
        RawColumn("history", "texts", ";"),
    )
    limits = {feature.name: feature.value_count.max for feature in make_schema(config).feature}
    assert limits["item"] == 1
    assert limits["history"] == 0  # no limit
