"""Routes as files: what is read, and what is refused in a sentence."""

import json

import pytest
import yaml
from pydantic import ValidationError

from taskroute.schemas.errors import ConfigError
from taskroute.schemas.recommender import ModelConfig, load_config
from taskroute.schemas.routes import ShareRoute, block_names, load_route

ROUTE = {
    "tasks": ["click", "like"],
    "sub_networks": [2, 1],
    "blocks": [
        {"block": "2.1", "lower": ["1.1", "1.2"], "query": "lower"},
        {"block": "click", "lower": ["2.1"]},
        {"block": "like", "lower": ["2.1"]},
    ],
}


def changed(**fields):
    return {**ROUTE, **fields}


def config(tmp_path, trunk, tasks=("click", "like")):
    content = {
        "name": "demo",
        "source": {
            "path": "log.csv",
            "format": "csv",
            "split": {"by": "hash", "key": "user", "validation": 0.1, "test": 0.1},
        },
        "features": [{"name": "age", "kind": "dense"}],
        "tasks": [{"name": name, "label": {"column": f"{name}ed"}} for name in tasks],
        "trunk": {"kind": "mtnas", **trunk},
    }
    path = tmp_path / "demo.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_config(path)


LAYERS = [{"sub_networks": 2, "units": 8}, {"sub_networks": 1, "units": 4}]


def test_blocks_are_named_by_layer_and_place():
    assert block_names((3, 2), ("click",)) == ("2.1", "2.2", "click")


def test_a_config_names_the_file_of_its_route_from_its_own_folder(tmp_path):
    (tmp_path / "route.json").write_text(json.dumps(ROUTE))
    loaded = config(tmp_path, {"layers": LAYERS, "route": "route.json"})
    assert loaded.trunk.route == ShareRoute.model_validate(ROUTE)


@pytest.mark.parametrize(
    ("route", "message"),
    [
        (changed(blocks=ROUTE["blocks"][:2]), "must be the routes of 2.1, click, like"),
        (changed(sub_networks=[1, 1]), "reads '1.2', which is not in the layer below"),
        (
            changed(blocks=[{"block": "2.1", "lower": ["1.1", "1.1"]}, *ROUTE["blocks"][1:]]),
            "must not repeat",
        ),
        (changed(blocks=[{"block": "2.1", "lower": []}, *ROUTE["blocks"][1:]]), "at least 1 item"),
    ],
)
def test_a_file_without_a_route_is_refused_with_its_name(tmp_path, route, message):
    path = tmp_path / "route.json"
    path.write_text(json.dumps(route))
    with pytest.raises(ConfigError, match=rf"route\.json: holds no route: .*{message}"):
        load_route(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"route\.json: cannot be read"):
        config(tmp_path, {"route": "route.json"})


def test_a_route_of_other_layers_or_tasks_is_refused(tmp_path):
    (tmp_path / "route.json").write_text(json.dumps(ROUTE))
    with pytest.raises(ConfigError, match="`layers` are of"):
        config(tmp_path, {"route": "route.json"})
    with pytest.raises(ConfigError, match="is for the tasks click, like; this config has click"):
        config(tmp_path, {"route": "route.json", "layers": LAYERS}, tasks=("click",))


def test_one_task_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="needs at least two of them; add a task or choose"):
        config(tmp_path, {}, tasks=("click",))


def test_a_search_without_binary_tasks_cannot_be_rewarded_by_auc(tmp_path):
    trunk = {"kind": "mtnas"}
    tasks = [{"name": n, "kind": "regression", "label": {"column": n}} for n in ("a", "b")]
    features = [{"name": "age", "kind": "dense"}]
    with pytest.raises(ValidationError, match="auc needs a binary task"):
        ModelConfig.model_validate({"features": features, "tasks": tasks, "trunk": trunk})
