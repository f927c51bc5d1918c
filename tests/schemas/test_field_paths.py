"""Paths of fields lead to one place, or are refused with what there is instead."""

import pytest

from taskroute.schemas.field_paths import locate, value_at, with_value

CONTENT = {
    "training": {"batch_size": 64, "clip_norm": None},
    "trunk": {"layers": [{"units": 8}, {"units": (4, 2)}]},
    "tasks": [{"name": "click", "loss_weight": 1.0}, {"name": "like", "loss_weight": 2.0}],
}


@pytest.mark.parametrize(
    ("path", "location", "value"),
    [
        ("training.batch_size", ("training", "batch_size"), 64),
        ("training.clip_norm", ("training", "clip_norm"), None),
        ("trunk.layers", ("trunk", "layers"), CONTENT["trunk"]["layers"]),
        ("trunk.layers[0].units", ("trunk", "layers", 0, "units"), 8),
        ("trunk.layers[1].units[1]", ("trunk", "layers", 1, "units", 1), 2),
        ("tasks.like.loss_weight", ("tasks", 1, "loss_weight"), 2.0),
        ("tasks[1].loss_weight", ("tasks", 1, "loss_weight"), 2.0),
    ],
)
def test_a_path_leads_to_a_field(path, location, value):
    assert locate(CONTENT, path) == location
    assert value_at(CONTENT, location) == value


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("training.batch_sise", "did you mean 'batch_size'?"),
        ("zzz", "there are training, trunk, tasks"),
        ("tasks.lik.loss_weight", "did you mean 'like'?"),
        ("tasks[2].loss_weight", "`tasks` has no entry [2]"),
        ("training[0]", "`training` has no entry [0]"),
        ("training.clip_norm.value", "`training.clip_norm` is not set"),
        ("training.batch_size.value", "`training.batch_size` is 64"),
        (".training", "no path"),
        ("training..batch_size", "no path"),
        ("training.", "no path"),
        ("trunk.layers.[0]", "no path"),
        ("trunk layers", "no path"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path, words):
    with pytest.raises(ValueError, match=r"path|nowhere") as error:
        locate(CONTENT, path)
    assert words in str(error.value)


def test_a_value_is_set_in_a_copy():
    changed = with_value(CONTENT, ("trunk", "layers", 1, "units", 0), 9)
    assert changed["trunk"]["layers"] == [{"units": 8}, {"units": [9, 2]}]
    assert CONTENT["trunk"]["layers"][1] == {"units": (4, 2)}
    assert with_value(CONTENT, ("training", "seed"), 3)["training"]["seed"] == 3
