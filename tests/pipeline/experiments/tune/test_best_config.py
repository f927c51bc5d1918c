"""The user's file with what was found: comments and layout stay, paths lead where they led."""

import json
from pathlib import Path

import pytest
import yaml

from taskroute.pipeline.experiments.tune.best_config import best_config
from taskroute.schemas.recommender import load_config
from taskroute.schemas.tuning import with_values

TEXT = """\
# What we know of the shop.
name: shop
source:
  path: logs/log.csv      # one file
  format: csv
  split: {by: hash, key: user}
features:
  - {name: user, kind: categorical, hash_buckets: 100}   # ids
  - name: item
    kind: categorical
    hash_buckets: 10

# What we want.
tasks:
  - {name: click, label: {column: clicked}}
  - name: like
    label: {column: liked}
trunk: {kind: mmoe, layers: [{experts: 2, units: 8}]}
training:
  # Rows of a step.
  batch_size: 1024
  learning_rate: 1.0e-3   # as always
"""


def best(folder, text, values, comments=(), data="data"):
    path = folder / "shop.yaml"
    path.write_text(text)
    config = load_config(path)
    written = best_config(text, folder, config, folder / data, values, comments)
    (folder / "elsewhere").mkdir(exist_ok=True)
    (folder / "elsewhere" / "best.yaml").write_text(written)
    return config, load_config(folder / "elsewhere" / "best.yaml"), written


VALUES = {
    "training.learning_rate": 0.00042,
    "training.batch_size": 512,
    "training.weight_decay": 1e-05,
    "training.schedule": {"kind": "cosine", "decay_steps": 100},
    "trunk.layers[0].experts": 4,
    "trunk.dropout": 0.1,
    "towers.units": [16, 8],
    "towers.dropout": 0.2,
    "tasks.like.loss_weight": 2.0,
    "tasks.click.loss_weight": 0.5,
    "features.user.embedding_dim": 8,
    "features.item.embedding_dim": 4,
}


def test_it_is_the_config_with_these_values(tmp_path):
    config, found, _ = best(tmp_path, TEXT, VALUES)
    expected = with_values(config, VALUES)
    source = expected.source.model_copy(update={"path": str(tmp_path / "data" / "logs/log.csv")})
    assert found == expected.model_copy(update={"source": source})


def test_lines_that_nothing_was_found_for_stay_as_they_are(tmp_path):
    *_, written = best(tmp_path, TEXT, VALUES, comments=["Found.", "", "By trial 3."])
    lines = written.splitlines()
    assert lines[:4] == ["# Found.", "#", "# By trial 3.", ""]
    for line in (
        "# What we know of the shop.",
        f"  path: {tmp_path}/data/logs/log.csv      # one file",
        "  - {name: user, kind: categorical, hash_buckets: 100, embedding_dim: 8}   # ids",
        "# What we want.",
        "  # Rows of a step.",
        "  batch_size: 512",
        "  learning_rate: 0.00042   # as always",
    ):
        assert line in lines
    assert set(TEXT.splitlines()) - set(lines) == {
        "  path: logs/log.csv      # one file",
        "  - {name: user, kind: categorical, hash_buckets: 100}   # ids",
        "  - {name: click, label: {column: clicked}}",
        "trunk: {kind: mmoe, layers: [{experts: 2, units: 8}]}",
        "  batch_size: 1024",
        "  learning_rate: 1.0e-3   # as always",
    }


@pytest.mark.parametrize("value", [None, True, 3, 1e-07, 0.5, "constant: {", [1, 2], {"a": [1]}])
@pytest.mark.parametrize("field", ["trunk: {kind: mmoe}", "trunk:\n  kind: mmoe\nname2: 1", ""])
def test_any_value_is_written_so_that_it_is_read_again(field, value):
    from taskroute.pipeline.experiments.tune.best_config import _replaced

    text = f"name: shop\n{field}\n"
    location = ("trunk", "kind") if field else ("trunk",)
    found = yaml.safe_load(_replaced(text, location, value))
    assert (found["trunk"]["kind"] if field else found["trunk"]) == value


def test_a_part_that_the_file_leaves_to_its_defaults_is_written_whole(tmp_path):
    text = TEXT.replace(", layers: [{experts: 2, units: 8}]", "")
    _, found, written = best(tmp_path, text, {"trunk.layers[0].units": 16})
    assert [layer.units for layer in found.trunk.layers] == [(16,)]
    assert "layers: [{experts: 8, units: [16]}]" in written
    text = "\n".join(line for line in TEXT.splitlines() if not line.startswith("trunk"))
    _, found, _ = best(tmp_path, text, {"trunk.units": [9]})
    assert found.trunk.units == (9,)


def test_a_single_number_becomes_a_list_where_one_of_its_entries_is_tuned(tmp_path):
    _, found, _ = best(tmp_path, TEXT, {"trunk.layers[0].units[0]": 16})
    assert found.trunk.layers[0].units == (16,)


def test_a_part_on_lines_of_its_own_is_replaced(tmp_path):
    text = TEXT.replace(
        "trunk: {kind: mmoe, layers: [{experts: 2, units: 8}]}",
        "trunk:\n  kind: mmoe\n  layers:\n    - experts: 2\n      units: 8\n\n# How.",
    )
    _, found, written = best(tmp_path, text, {"trunk": {"kind": "shared_bottom", "units": [9]}})
    assert found.trunk.units == (9,)
    assert "\n# How.\ntraining:" in written


def test_anchors_cost_the_comments_and_nothing_else(tmp_path):
    text = TEXT.replace("{column: clicked}}", "{column: clicked}, loss_weight: &weight 1}")
    text = text.replace("{column: liked}", "{column: liked}\n    loss_weight: *weight")
    config, found, written = best(tmp_path, text, {"tasks.click.loss_weight": 3.0})
    assert [task.loss_weight for task in found.tasks] == [3.0, 1.0]
    assert found.features == config.features
    assert "# What we want." not in written


def test_paths_lead_where_they_led(tmp_path):
    _, found, _ = best(tmp_path, TEXT, {}, data=".")
    assert Path(found.source.path) == tmp_path / "logs" / "log.csv"
    _, found, _ = best(tmp_path, TEXT.replace("logs/log.csv", "gs://bucket/log.csv"), {})
    assert found.source.path == "gs://bucket/log.csv"


def test_a_route_s_file_leads_where_it_led(tmp_path):
    route = {
        "tasks": ["click", "like"],
        "sub_networks": [1],
        "blocks": [{"block": name, "lower": ["1.1"]} for name in ("click", "like")],
    }
    (tmp_path / "route.json").write_text(json.dumps(route))
    trunk = "trunk: {kind: mtnas, layers: [{sub_networks: 1, units: 8}], route: route.json}"
    text = "\n".join(trunk if line.startswith("trunk") else line for line in TEXT.splitlines())
    config, found, _ = best(tmp_path, text, {"trunk.layers[0].units": 4})
    assert found.trunk.route == config.trunk.route
    assert found.trunk.layers[0].units == 4
    _, found, _ = best(tmp_path, text, {"trunk": {"kind": "shared_bottom", "units": [9]}})
    assert found.trunk.units == (9,)
