"""The component around a function that searches: what that gets, and what is left behind."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tfx import types
from tfx.components.trainer.executor import GenericExecutor
from tfx.types import standard_artifacts

from taskroute.components.architecture_search import executor
from taskroute.components.architecture_search.component import ArchitectureSearch
from taskroute.schemas.routes import BlockRoute, NetworkCost, SearchResult, ShareRoute

RESULT = SearchResult(
    route=ShareRoute(
        tasks=("click", "like"),
        sub_networks=(2,),
        blocks=(
            BlockRoute(block="click", lower=("1.1", "1.2"), query="lower"),
            BlockRoute(block="like", lower=("1.2",)),
        ),
    ),
    policy="reinforce",
    reward=0.7,
    num_evaluations=8,
    probabilities=(),
    supernet=NetworkCost(parameters=20, macs=10),
    derived=NetworkCost(parameters=15, macs=7),
    seed=1,
    weight_steps=100,
    stopped_by="epochs",
    seconds=1.5,
    history=(),
)
calls = []


def leave_progress(folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / "progress.json").write_text("{}")


def found(**arguments):
    calls.append(arguments)
    leave_progress(arguments["checkpoint"])
    return RESULT.model_dump_json()


def killed(**arguments):
    calls.append(arguments)
    leave_progress(arguments["checkpoint"])
    raise KeyboardInterrupt


@pytest.fixture
def world(tmp_path, monkeypatch):
    calls.clear()
    monkeypatch.setitem(sys.modules, "searches", SimpleNamespace(found=found, killed=killed))
    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path / "examples")
    examples.split_names = json.dumps(["train", "validation", "test"])
    graph = standard_artifacts.TransformGraph()
    graph.uri = str(tmp_path / "graph")
    output = standard_artifacts.HyperParameters()
    output.uri = str(tmp_path / "hyperparameters")
    inputs = {"examples": [examples], "transform_graph": [graph]}
    properties = {
        "search_fn": "searches.found",
        "config": "{}",
        "checkpoint_folder": str(tmp_path / "checkpoints"),
        "code_digest": "abc",
    }
    return inputs, {"hyperparameters": [output]}, properties


def checkpoints(properties):
    return list(Path(properties["checkpoint_folder"]).iterdir())


def test_the_function_gets_train_and_validation_and_never_test(world):
    inputs, outputs, properties = world
    executor.Executor().Do(inputs, outputs, properties)
    (call,) = calls
    folder = inputs["examples"][0].uri
    assert call["train_files"] == [f"{folder}/Split-train/*"]
    assert call["validation_files"] == [f"{folder}/Split-validation/*"]
    assert "test" not in json.dumps(call).replace(str(Path(folder).parent), "")


def test_trainer_reads_the_route_as_its_hyperparameters(world, tmp_path):
    inputs, outputs, properties = world
    executor.Executor().Do(inputs, outputs, properties)
    model, run = standard_artifacts.Model(), standard_artifacts.ModelRun()
    model.uri, run.uri = str(tmp_path / "model"), str(tmp_path / "run")
    fn_args = GenericExecutor()._GetFnArgs(
        {**inputs, "hyperparameters": outputs["hyperparameters"]},
        {"model": [model], "model_run": [run]},
        {"train_args": '{"splits": ["train"]}', "eval_args": '{"splits": ["validation"]}'},
    )
    assert SearchResult.model_validate(fn_args.hyperparameters) == RESULT


def test_a_killed_search_leaves_its_checkpoint_and_the_next_run_gets_it(world):
    inputs, outputs, properties = world
    with pytest.raises(KeyboardInterrupt):
        executor.Executor().Do(inputs, outputs, {**properties, "search_fn": "searches.killed"})
    assert len(checkpoints(properties)) == 1
    executor.Executor().Do(inputs, outputs, properties)
    assert calls[0]["checkpoint"] == calls[1]["checkpoint"]
    assert not checkpoints(properties)


@pytest.mark.parametrize("changed", ["config", "code_digest"])
def test_another_config_or_code_has_a_checkpoint_of_its_own(world, changed):
    inputs, outputs, properties = world
    executor.Executor().Do(inputs, outputs, properties)
    executor.Executor().Do(inputs, outputs, {**properties, changed: "other"})
    assert calls[0]["checkpoint"] != calls[1]["checkpoint"]


def test_the_component_gives_hyperparameters():
    component = ArchitectureSearch(
        examples=types.Channel(type=standard_artifacts.Examples),
        transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
        search_fn="package.module.search",
        config="{}",
        checkpoint_folder="checkpoints",
    )
    assert component.outputs["hyperparameters"].type is standard_artifacts.HyperParameters


def test_a_function_that_is_no_dotted_path_is_refused():
    with pytest.raises(ValueError, match="Received"):
        ArchitectureSearch(
            examples=types.Channel(type=standard_artifacts.Examples),
            transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
            search_fn="search",
            config="{}",
            checkpoint_folder="checkpoints",
        )
