"""The Trainer's `run_fn` learns where the raw validation rows are."""

import pytest
from tfx import types
from tfx.components.trainer import executor as trainer
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import json_utils

from taskroute.components.ranker_trainer import executor
from taskroute.components.ranker_trainer.component import RankerTrainer


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


def test_the_component_gives_a_model_and_its_run():
    component = RankerTrainer(
        run_fn="somewhere.run_fn",
        examples=_channel(standard_artifacts.Examples),
        raw_examples=_channel(standard_artifacts.Examples),
        transform_graph=_channel(standard_artifacts.TransformGraph),
        schema=_channel(standard_artifacts.Schema),
        hyperparameters=None,
        custom_config={"name": "demo"},
    )
    outputs = {name: channel.type for name, channel in component.outputs.items()}
    assert outputs == {
        "model": standard_artifacts.Model,
        "model_run": standard_artifacts.ModelRun,
    }
    assert "raw_examples" in component.inputs


def test_the_raw_rows_are_added_to_what_run_fn_is_told(raw_examples, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(trainer.GenericExecutor, "Do", lambda self, *args: calls.append(args))
    properties = {"custom_config": json_utils.dumps({"name": "demo"}), "run_fn": "f"}
    executor.Executor().Do({"raw_examples": [raw_examples]}, {}, properties)
    ((_, _, passed),) = calls
    assert passed["run_fn"] == "f"
    custom_config = json_utils.loads(passed["custom_config"])
    assert custom_config["name"] == "demo"
    assert custom_config["raw_examples"] == {
        "patterns": [str(tmp_path / "Split-validation" / "*.gz")],
        "span": None,
        "num_rows": {"train": 90, "validation": 10},
    }


def test_the_spans_are_told_where_there_are_any(raw_examples):
    raw_examples.set_string_custom_property("first_span", "2026-01-05")
    raw_examples.set_string_custom_property("last_span", "2026-01-11")
    assert executor.describe_examples([raw_examples]).span == ("2026-01-05", "2026-01-11")
