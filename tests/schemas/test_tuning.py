"""Settings that may be tuned, and those refused before anything is trained."""

import copy

import pytest
import yaml

from taskroute.schemas.errors import ConfigError
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig, load_config
from taskroute.schemas.tuning import Parameter, current_values, takes_whole_numbers, with_values

CONFIG = {
    "name": "shop",
    "source": {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}},
    "features": [
        {"name": "user", "kind": "categorical", "hash_buckets": 100},
        {"name": "age", "kind": "dense"},
    ],
    "tasks": [
        {"name": "click", "label": {"column": "clicked"}},
        {"name": "watch", "kind": "regression", "label": {"column": "seconds"}},
    ],
    "trunk": {"kind": "mmoe", "layers": [{"experts": 2, "units": 8}]},
    "training": {"learning_rate": 0.001},
}


def load(tmp_path, parameters=None, **tuning):
    content = copy.deepcopy(CONFIG)
    if parameters is None:
        parameters = {"training.learning_rate": {"min": 0.001, "max": 0.01}}
    content["tuning"] = {"parameters": parameters, **tuning}
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_config(path)


def refused(tmp_path, parameters=None, **tuning):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, parameters, **tuning)
    message = str(error.value)
    assert message.startswith(f"{tmp_path}/shop.yaml: tuning")
    assert "\n" not in message
    return message.removeprefix(f"{tmp_path}/shop.yaml: ")


def test_everything_that_is_learned_may_be_tuned(tmp_path):
    config = load(
        tmp_path,
        {
            "training.learning_rate": {"min": "1e-4", "max": 1.0e-2, "scale": "log"},
            "training.batch_size": {"min": 64, "max": 256, "step": 64},
            "training.clip_norm": {"values": [None, 1.0]},
            "training.schedule": {
                "values": [{"kind": "constant"}, {"kind": "cosine", "decay_steps": 9}]
            },
            "trunk.layers[0].units": {"values": [8, [8, 4]]},
            "towers.dropout": {"min": 0, "max": 0.5},
            "tasks.click.loss_weight": {"min": 0.5, "max": 2},
            "tasks[1].huber_delta": {"min": 1, "max": 2},
            "features.user.embedding_dim": {"values": [4, 8]},
        },
        objective=[{"task": "click"}, {"task": "watch", "metric": "mae", "weight": 0.1}],
        constraints=[{"task": "click", "metric": "log_loss", "may_lose": 0.1}],
    )
    assert config.tuning.parameters["training.learning_rate"].min == 0.0001
    assert RecommenderConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("path", "declared", "words"),
    [
        ("training.learning_rat", {"min": 1, "max": 2}, "did you mean 'learning_rate'?"),
        ("trunk.layers[1].units", {"min": 1, "max": 2}, "`trunk.layers` has no entry [1]"),
        ("training.learning_rate", {"min": 0, "max": 1}, "0 is refused: Input should be greater"),
        ("towers.dropout", {"min": 0.5, "max": 1.0}, "1.0 is refused: Input should be less than 1"),
        ("training.batch_size", {"min": 1, "max": 9, "step": 0.5}, "1.5 is refused"),
        ("trunk.layers[0].units", {"values": [8, "many"]}, "'many' is refused"),
        ("training.seed", {"min": 1, "max": 9}, "final_seeds"),
        ("training.schedule.kind", {"values": ["constant", "cosine"]}, "whole `training.schedule`"),
        ("trunk.kind", {"values": ["mmoe", "ple"]}, "whole `trunk`"),
        ("features.age.transform", {"values": ["none", "zscore"]}, "tune embedding_dim"),
        ("tasks.click.label.at_least", {"min": 1, "max": 2}, "of tasks, tune loss_weight"),
        ("features", {"values": [1, 2]}, "tune embedding_dim"),
        ("name", {"values": ["a", "b"]}, "has no 'name'"),
    ],
)
def test_a_field_that_cannot_be_tuned_so_is_refused_by_its_path(tmp_path, path, declared, words):
    message = refused(tmp_path, {path: declared})
    assert message.startswith(f"tuning.parameters.{path}: ")
    assert words in message


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({}, "give `min` and `max`, or `values`"),
        ({"min": 1}, "give `min` and `max`"),
        ({"min": 1, "max": 2, "values": [1, 2]}, "either `values` or"),
        ({"min": 2, "max": 1}, "`max` must be above `min`"),
        ({"min": 0, "max": 1, "scale": "log"}, "above 0 on a log scale"),
        ({"min": 1, "max": 9, "scale": "log", "step": 2}, "`step` is for a linear range"),
        ({"min": 1, "max": 2, "step": 3}, "`step` must fit"),
        ({"values": [1]}, "at least 2 items"),
        ({"values": [1, 1]}, "must differ"),
        ({"values": [1, 2], "mim": 1}, "there is no such field here; did you mean 'min'?"),
    ],
)
def test_a_range_that_is_none_is_refused(tmp_path, declared, words):
    assert words in refused(tmp_path, {"training.learning_rate": declared})


def test_without_parameters_there_is_nothing_to_tune(tmp_path):
    assert refused(tmp_path, {}).startswith("tuning.parameters: ")


def test_two_parameters_must_not_change_one_field(tmp_path):
    one = {"min": 1, "max": 2}
    message = refused(tmp_path, {"tasks.click.loss_weight": one, "tasks[0].loss_weight": one})
    assert "`tasks.click.loss_weight` changes it too" in message
    inner, outer = "trunk.layers[0].units", {"values": [[{"units": 8}], [{"units": 9}]]}
    message = refused(tmp_path, {"trunk.layers": outer, inner: {"min": 8, "max": 9}})
    assert "`trunk.layers` changes it too" in message


@pytest.mark.parametrize(
    ("tuning", "words"),
    [
        ({"objective": [{"task": "buy"}]}, "tuning.objective[0].task: there is no task 'buy'"),
        ({"objective": [{"task": "click", "metric": "mae"}]}, "does not exist for the binary"),
        ({"objective": [{"task": "click", "metric": "gauc"}]}, "needs `evaluation.group_key`"),
        ({"objective": [{"task": "click", "metric": "calibration"}]}, "neither more nor less"),
        (
            {"constraints": [{"task": "watch", "at_least": 1}]},
            "tuning.constraints[0].metric: 'auc' does not",
        ),
        ({"constraints": [{"task": "click"}]}, "give `at_least`, `at_most` or `may_lose`"),
        ({"trials": 1}, "tuning.trials"),
        ({"final_seeds": 1}, "tuning.final_seeds"),
        ({"examples": 0}, "tuning.examples"),
    ],
)
def test_an_aim_or_a_budget_that_cannot_be_is_refused(tmp_path, tuning, words):
    assert words in refused(tmp_path, **tuning)


def model(**changes):
    config = {name: CONFIG[name] for name in ("features", "tasks", "trunk", "training")}
    return ModelConfig.model_validate({**config, **changes})


def test_values_are_set_by_path_and_read_again():
    values = {"tasks.click.loss_weight": 2.0, "trunk.layers[0].units": 16, "towers.units": [4]}
    changed = with_values(model(), values)
    assert changed.tasks[0].loss_weight == 2.0
    assert changed.trunk.layers[0].units == (16,)
    assert current_values(changed, values) == {
        "tasks.click.loss_weight": 2.0,
        "trunk.layers[0].units": (16,),
        "towers.units": (4,),
    }
    assert with_values(model(), {}) == model()


@pytest.mark.parametrize(
    ("path", "declared", "expected"),
    [
        ("training.batch_size", {"min": 8, "max": 16}, True),
        ("trunk.layers[0].units", {"min": 8, "max": 16}, True),
        ("training.embedding_learning_rate", {"min": 1, "max": 16}, False),
        ("training.embedding_learning_rate", {"min": 1, "max": 16.5}, False),
    ],
)
def test_whole_ends_make_whole_numbers_only_where_the_field_takes_no_others(
    path, declared, expected
):
    assert takes_whole_numbers(model(), path, Parameter(**declared)) is expected
