"""The interface of LogExampleGen."""

import json

import pytest
from tfx.types import standard_artifacts

from taskroute.components.artifact_types import Quarantine
from taskroute.components.log_example_gen.component import LogExampleGen
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.source import Source, Split
from taskroute.schemas.tasks import Label, Task

SOURCE = Source(
    path="/logs/*.csv", format="csv", split=Split(by="hash", key="user", validation=0.2, test=0.1)
)

CLICK = Task(name="click", label=Label(column="clicked"))


def _make(**changes) -> LogExampleGen:
    arguments = {
        "source": SOURCE,
        "columns": [RawColumn("genres", "texts", "|"), RawColumn("clicked", "number")],
        "tasks": [CLICK],
    }
    return LogExampleGen(**{**arguments, **changes})


def test_it_gives_examples_and_the_rows_left_out():
    outputs = _make().outputs
    assert list(outputs) == ["examples", "quarantine"]
    assert outputs["examples"].type is standard_artifacts.Examples
    assert outputs["quarantine"].type is Quarantine


def test_its_parameters_are_texts_that_can_be_read_back():
    properties = _make().exec_properties
    assert Source.model_validate_json(properties["source"]) == SOURCE
    assert [RawColumn(**column) for column in json.loads(properties["columns"])] == [
        RawColumn("genres", "texts", "|"),
        RawColumn("clicked", "number"),
    ]
    assert [Task.model_validate(task) for task in json.loads(properties["tasks"])] == [CLICK]


def test_a_label_must_be_among_the_columns():
    with pytest.raises(ValueError, match="`columns` must hold"):
        _make(tasks=[Task(name="buy", label=Label(column="bought"))])
