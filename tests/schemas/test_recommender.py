import copy

import pytest
import yaml

from taskroute.schemas.errors import ConfigError
from taskroute.schemas.recommender import (
    DataConfig,
    ModelConfig,
    RecommenderConfig,
    load_config,
)

CONFIG = {
    "name": "shop",
    "source": {
        "path": "log.csv",
        "format": "csv",
        "timestamp": "time",
        "split": {"by": "time"},
    },
    "features": [
        {"name": "user", "kind": "categorical", "hash_buckets": 100},
        {"name": "tags", "kind": "multivalent", "vocabulary": {}, "embedding_dim": 8},
        {"name": "age", "kind": "dense"},
        {"name": "age_band", "column": "age", "kind": "bucket", "boundaries": [18, 30]},
    ],
    "tasks": [
        {"name": "click", "label": {"column": "clicked"}},
        {"name": "buy", "label": {"column": "bought"}, "trained_where": "click"},
    ],
    "trunk": {"kind": "snr_trans"},
    "evaluation": {"gates": [{"task": "click", "at_least": 0.6}]},
}


def changed(path, value):
    config = copy.deepcopy(CONFIG)
    *parents, last = path
    place = config
    for part in parents:
        place = place[part]
    place[last] = value
    return config


def load(tmp_path, content):
    path = tmp_path / "shop.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load_config(path)


def test_a_config_survives_json(tmp_path):
    config = load(tmp_path, CONFIG)
    assert RecommenderConfig.model_validate_json(config.model_dump_json()) == config


def test_a_column_defaults_to_the_name_of_its_feature(tmp_path):
    features = load(tmp_path, CONFIG).features
    assert [f.column for f in features] == ["user", "tags", "age", "age"]


def test_a_part_depends_only_on_its_own_fields(tmp_path):
    one = load(tmp_path, CONFIG)
    other = load(tmp_path, changed(["training"], {"epochs": 3}))
    assert one.part(DataConfig) == other.part(DataConfig)
    assert one.part(ModelConfig) != other.part(ModelConfig)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (
            ["features", 2, "embeding_dim"],
            4,
            ["features[2].embeding_dim: there is", "mean 'embedding_dim'?"],
        ),
        (["features", 0, "hash_buckets"], 0, ["features[0].hash_buckets", "greater than 0"]),
        (["features", 1, "name"], "user", ["features", "'user'", "more than once"]),
        (["features", 2, "column"], "clicked", ["features[2]", "'clicked'", "label"]),
        (["features", 2, "column"], "user", ["features[2]", "'user'", "number", "categorical"]),
        (["features", 0, "vocabulary"], {}, ["features[0]", "either"]),
        (["features", 3, "boundaries"], [3, 1], ["features[3]", "rise"]),
        (["features", 0, "name"], "age_missing", ["features[0]", "missing flag"]),
        (["tasks", 1, "trained_where"], "clik", ["tasks[1].trained_where", "'clik'"]),
        (["tasks", 1, "name"], "click", ["tasks", "'click'", "more than once"]),
        (["tasks", 0, "label", "transform"], "log1p", ["tasks[0]", "regression"]),
        (["trunk", "kind"], "snr", ["trunk", "'snr'", "snr_trans"]),
        (["trunk", "stretch"], [0.1, 1.1], ["trunk", "stretch"]),
        (["evaluation", "gates", 0, "task"], "like", ["evaluation.gates[0].task", "'like'"]),
        (["evaluation", "gates", 0, "metric"], "mae", ["gates[0].metric", "binary task 'click'"]),
        (["evaluation", "gates", 0, "at_most"], 0.5, ["evaluation.gates[0]", "above `at_least`"]),
        (["source", "split", "test"], 0.95, ["source.split", "leave rows"]),
        (["source", "split", "key"], "user", ["source.split", "hash"]),
        (["source", "timestamp"], None, ["source", "timestamp"]),
        (["source", "test_path"], "test.csv", ["source", "split.test"]),
    ],
)
def test_a_wrong_field_is_named_in_one_sentence(tmp_path, path, value, words):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, changed(path, value))
    message = str(error.value)
    assert "shop.yaml" in message
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("content", "words"),
    [("a: [1", "not valid YAML"), ("- 1", "mapping"), ("", "mapping")],
)
def test_what_is_no_config_is_refused(tmp_path, content, words):
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, content)


def test_a_config_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        load_config(tmp_path / "none.yaml")


def test_yaml_cannot_make_python_objects(tmp_path):
    with pytest.raises(ConfigError, match="not valid YAML"):
        load(tmp_path, "name: !!python/object/apply:os.getcwd []")
