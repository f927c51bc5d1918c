"""The Trainer's `run_fn` learns where the raw validation rows are."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from tfx import types
from tfx.components.trainer import executor as trainer
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import json_utils

from taskroute.components.served import registry
from taskroute.components.trainer import executor
from taskroute.components.trainer.component import Trainer


def _channel(kind):
    return types.Channel(type=kind)


@pytest.fixture
def raw_examples(tmp_path):
    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path)
    examples.split_names = artifact_utils.encode_split_names(["train", "validation"])
    examples.set_int_custom_property("num_rows_train", 90)
    examples.set_int_custom_property("num_rows_validation", 10)
    return examples


def make(**changes):
    config = SimpleNamespace(model_dump_json=lambda: "{}")
    arguments = {
        "run_fn": "somewhere.run_fn",
        "examples": _channel(standard_artifacts.Examples),
        "raw_examples": _channel(standard_artifacts.Examples),
        "transform_graph": _channel(standard_artifacts.TransformGraph),
        "schema": _channel(standard_artifacts.Schema),
        "hyperparameters": None,
        "name": "demo",
        "config": config,
        "serving": config,
        "checkpoint_folder": "root/training",
    }
    return Trainer(**arguments | changes)


def options(component):
    return json_utils.loads(component.exec_properties["custom_config"])


def test_the_component_gives_a_model_and_its_run():
    component = make()
    outputs = {name: channel.type for name, channel in component.outputs.items()}
    assert outputs == {
        "model": standard_artifacts.Model,
        "model_run": standard_artifacts.ModelRun,
    }
    assert "raw_examples" in component.inputs


def test_a_training_of_its_own_process_is_told_what_to_call_and_where_its_job_is():
    assert make().exec_properties["run_fn"] == "somewhere.run_fn"
    component = make(separate_process=True)
    assert (
        component.exec_properties["run_fn"]
        == "taskroute.components.trainer.separate_process.run_fn"
    )
    job = {"run_fn": "somewhere.run_fn", "job": "root/training/job.json"}
    assert options(component)["separate_process"] == job


def test_a_warm_start_names_the_serving_folder():
    assert "warm_start" not in options(make())
    assert options(make(warm_start_from="serving/demo"))["warm_start"] == "serving/demo"


def test_the_raw_rows_are_added_to_what_run_fn_is_told(raw_examples, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(trainer.GenericExecutor, "Do", lambda self, *args: calls.append(args))
    given = {"name": "demo", "checkpoint_folder": str(tmp_path / "training")}
    properties = {"custom_config": json_utils.dumps(given), "run_fn": "f"}
    executor.Executor().Do({"raw_examples": [raw_examples]}, {}, properties)
    ((_, _, passed),) = calls
    assert passed["run_fn"] == "f"
    custom_config = json_utils.loads(passed["custom_config"])
    assert custom_config["name"] == "demo"
    assert custom_config["raw_examples"] == {
        "patterns": [str(tmp_path / "Split-validation" / "*.parquet")],
        "span": None,
        "num_rows": {"train": 90, "validation": 10},
    }


def test_the_spans_are_told_where_there_are_any(raw_examples):
    raw_examples.set_string_custom_property("first_span", "2026-01-05")
    raw_examples.set_string_custom_property("last_span", "2026-01-11")
    assert executor.describe_examples([raw_examples]).span == ("2026-01-05", "2026-01-11")


def told(monkeypatch, custom_config, raw_examples, during=lambda told: None):
    """Options that `run_fn` gets; `during` is called with them in its place."""
    seen = []

    def train(self, inputs, outputs, properties):
        seen.append(json_utils.loads(properties["custom_config"]))
        during(seen[-1])

    monkeypatch.setattr(trainer.GenericExecutor, "Do", train)
    properties = {"custom_config": json_utils.dumps(custom_config)}
    executor.Executor().Do({"raw_examples": [raw_examples]}, {}, properties)
    return seen[-1]


def test_a_killed_training_finds_its_checkpoint_and_a_finished_one_leaves_none(
    raw_examples, monkeypatch, tmp_path
):
    config = {"checkpoint_folder": str(tmp_path / "training"), "config": "{}"}

    def die(told):
        Path(told["checkpoint"]).mkdir(parents=True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        told(monkeypatch, config, raw_examples, die)
    (left,) = (tmp_path / "training").iterdir()
    assert told(monkeypatch, config, raw_examples)["checkpoint"] == str(left)
    assert not left.exists()


def test_what_another_config_has_left_is_removed(raw_examples, monkeypatch, tmp_path):
    other = tmp_path / "training" / "0123"
    other.mkdir(parents=True)
    config = {"checkpoint_folder": str(tmp_path / "training"), "config": "{}"}
    first = told(monkeypatch, config, raw_examples)["checkpoint"]
    assert not other.exists()
    raw_examples.uri = str(tmp_path / "elsewhere")
    assert told(monkeypatch, config, raw_examples)["checkpoint"] != first


def test_a_warm_start_goes_on_from_the_version_that_serves(raw_examples, monkeypatch, tmp_path):
    model, serving = tmp_path / "model", tmp_path / "serving"
    config = {"warm_start": str(serving), "checkpoint_folder": str(tmp_path / "training")}
    assert told(monkeypatch, config, raw_examples)["warm_start"] is None
    (model / "WarmStart").mkdir(parents=True)
    (model / "saved_model.pb").write_bytes(b"graph")
    registry.push(model, serving, "demo", 2, model / "WarmStart")
    found = told(monkeypatch, config, raw_examples)["warm_start"]
    assert found == str(serving / ".warm_start" / "1")
