"""The component: what is pushed, and what is not."""

import pytest
from tfx import types
from tfx.types import standard_artifacts

from taskroute.components.model_pusher import executor
from taskroute.components.model_pusher.component import ModelPusher
from taskroute.components.served import registry
from taskroute.schemas.errors import UserError


def _component(destination="serving/demo", model_name="demo"):
    return ModelPusher(
        model=types.Channel(type=standard_artifacts.Model),
        blessing=types.Channel(type=standard_artifacts.ModelBlessing),
        destination=str(destination),
        model_name=model_name,
    )


@pytest.fixture
def push(tmp_path):
    """Runs the executor with blessings that say `blessed`; returns the pushed model."""
    saved_model = tmp_path / "model" / "Format-Serving"
    saved_model.mkdir(parents=True)
    (saved_model / "saved_model.pb").write_bytes(b"graph")

    def run(*blessed, destination=tmp_path / "serving", infra_blessed=None):
        model, pushed_model = standard_artifacts.Model(), standard_artifacts.PushedModel()
        model.uri, pushed_model.uri = str(saved_model.parent), str(tmp_path / "pushed_model")
        blessings = []
        for value in blessed:
            blessing = standard_artifacts.ModelBlessing()
            if value is not None:
                blessing.set_int_custom_property("blessed", value)
            blessings.append(blessing)
        inputs = {"model": [model], "blessing": blessings}
        if infra_blessed is not None:
            infra_blessing = standard_artifacts.InfraBlessing()
            infra_blessing.set_int_custom_property("blessed", infra_blessed)
            inputs["infra_blessing"] = [infra_blessing]
        executor.Executor().Do(
            inputs,
            {"pushed_model": [pushed_model]},
            _component(destination).exec_properties,
        )
        return pushed_model

    return run


def test_the_output_is_a_pushed_model():
    outputs = {name: channel.type for name, channel in _component().outputs.items()}
    assert outputs == {"pushed_model": standard_artifacts.PushedModel}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"destination": ""}, "`destination` must be a local folder"),
        ({"destination": "gs://bucket/serving"}, "`destination` must be a local folder"),
        ({"model_name": ""}, "`model_name` must not be empty"),
    ],
)
def test_a_component_that_could_not_push_is_refused(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        _component(**arguments)


def test_a_blessed_model_is_pushed_and_pointed_to(push, tmp_path):
    pushed_model = push(1)
    serving = tmp_path / "serving"
    assert (serving / "1" / "saved_model.pb").read_bytes() == b"graph"
    assert registry.latest(serving).model_name == "demo"
    assert pushed_model.get_int_custom_property("pushed") == 1
    assert pushed_model.get_string_custom_property("pushed_version") == "1"
    assert pushed_model.get_string_custom_property("pushed_destination") == str(serving / "1")


@pytest.mark.parametrize("blessed", [(0,), (None,), (), (1, 0)])
def test_a_model_without_every_blessing_is_not_pushed(push, tmp_path, blessed):
    pushed_model = push(*blessed)
    assert pushed_model.has_custom_property("pushed")
    assert pushed_model.get_int_custom_property("pushed") == 0
    assert not (tmp_path / "serving").exists()


@pytest.mark.parametrize("infra_blessed", [0, 1])
def test_the_blessing_of_the_serving_check_is_obeyed(push, infra_blessed):
    pushed_model = push(1, infra_blessed=infra_blessed)
    assert pushed_model.get_int_custom_property("pushed") == infra_blessed


def test_a_model_that_serves_but_is_not_blessed_is_not_pushed(push, tmp_path):
    assert push(infra_blessed=1).get_int_custom_property("pushed") == 0
    assert push(0, infra_blessed=1).get_int_custom_property("pushed") == 0
    assert not (tmp_path / "serving").exists()


def test_a_model_that_is_not_blessed_leaves_the_serving_version_alone(push, tmp_path):
    push(1)
    before = registry.latest(tmp_path / "serving")
    push(0)
    assert registry.latest(tmp_path / "serving") == before
    assert registry.versions(tmp_path / "serving") == (1,)


def test_a_relative_destination_is_recorded_as_a_whole_path(push, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pushed_model = push(1, destination="serving/demo")
    assert pushed_model.get_string_custom_property("pushed_destination") == str(
        tmp_path / "serving" / "demo" / "1"
    )


def test_a_push_that_fails_is_an_error(push, tmp_path):
    (tmp_path / "serving").write_text("a file")
    with pytest.raises(UserError, match="cannot be pushed"):
        push(1)
