"""TFX's cache sees an edit of any module that a stage runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from taskroute.pipeline.dag import digest
from taskroute.pipeline.dag.digest import WHOLE_PRODUCT, closure, code_digest, dotted_names
from taskroute.pipeline.dag.pipeline import create_stages
from taskroute.pipeline.run.paths import RunPaths, absolute_source
from taskroute.schemas.recommender import RecommenderConfig

ROOT = Path(__file__).parents[3]
FOLDERS = ("schemas", "models", "components", "pipeline")
CONFIG = {
    "name": "shop",
    "source": {
        "path": "log.csv",
        "format": "csv",
        "split": {"by": "hash", "key": "user", "validation": 0.2, "test": 0.2},
    },
    "features": [{"name": "user", "kind": "categorical", "hash_buckets": 10}],
    "tasks": [
        {"name": "click", "label": {"column": "clicked"}},
        {"name": "like", "label": {"column": "liked"}},
    ],
    "trunk": {"kind": "mtnas", "layers": [{"sub_networks": 2, "units": 4}]},
}
# TFX's own, whose version is part of what the cache sees.
NOT_OURS = {"ExampleValidator"}


def make_stages(folder, **changes):
    config = RecommenderConfig.model_validate(CONFIG | changes)
    source = absolute_source(config, folder)
    made = create_stages(config, source, "log 1", RunPaths(folder, "shop"), warm_start=True)
    return {stage.id: stage for stage in made}


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    return make_stages(tmp_path_factory.mktemp("root"))


def entries(stage):
    """Modules that a stage begins with, as a reader of the DAG would name them."""
    named = [stage.executor_spec.executor_class.__module__]
    for key in ("run_fn", "search_fn", "preprocessing_fn"):
        if key in stage.exec_properties:
            named.append(stage.exec_properties[key].rpartition(".")[0])
    return named


def test_every_stage_of_ours_has_a_digest(stages):
    assert set(stages) > NOT_OURS
    for name, stage in stages.items():
        assert ("code_digest" in stage.exec_properties) != (name in NOT_OURS), name


@pytest.mark.parametrize("kind", ["mtnas", "shared_bottom"])
def test_a_change_that_may_stop_the_run_does_so_before_anything_is_trained(tmp_path, kind):
    stop = {"threshold": 0.1, "stop": True}
    changes = {"monitoring": {"split_shift": stop}}
    if kind == "shared_bottom":
        changes["trunk"] = {"kind": kind}
    stages = make_stages(tmp_path, **changes)
    first = stages["ArchitectureSearch" if kind == "mtnas" else "Trainer"]
    assert stages["ChangeGate"] in first.upstream_nodes
    assert stages["ChangeGate"].inputs["changes"].producer_component_id == "DayMonitor"


def test_without_a_change_that_may_stop_the_run_no_stage_waits_for_one(stages, tmp_path):
    assert "ChangeGate" not in stages
    skew = {"monitoring": {"skew": {"threshold": 0.1, "stop": True}}}
    assert "ChangeGate" not in make_stages(tmp_path, **skew)


@pytest.mark.slow
@pytest.mark.slow
def test_a_closure_holds_every_module_that_python_loads(stages):
    names = {
        name for id_, stage in stages.items() if id_ not in NOT_OURS for name in entries(stage)
    }
    program = (
        "import importlib, json, sys\n"
        "importlib.import_module(sys.argv[1])\n"
        "files = [m.__file__ for n, m in sys.modules.items() if n.startswith('taskroute.')]\n"
        "print('\\n'.join(file for file in files if file))"
    )
    assert len(names) > 8
    for name in sorted(names):
        ended = subprocess.run(
            [sys.executable, "-c", program, name], capture_output=True, text=True, check=True
        )
        loaded = {Path(line) for line in ended.stdout.splitlines() if line.endswith(".py")}
        assert loaded, name
        assert loaded <= set(closure([name]).values()), name


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        ("LogExampleGen", "components/logs/csv_log.py"),
        ("Transform", "models/preprocessing.py"),
        ("ArchitectureSearch", "models/search.py"),
        ("Trainer", "models/layers/gates.py"),
        ("Trainer", "models/balance/pcgrad.py"),
        ("Trainer", "components/served/registry.py"),
        ("TaskEvaluator", "components/measures/binary.py"),
        ("ServingCheck", "components/served/probe.py"),
        ("ModelPusher", "components/model_pusher/server_files.py"),
    ],
)
def test_a_digest_changes_with_a_file_of_the_stage(tmp_path, monkeypatch, stage, file):
    before = make_stages(tmp_path)
    content = digest._file_digest
    monkeypatch.setattr(
        digest, "_file_digest", lambda path: b"edited" if path == ROOT / file else content(path)
    )
    after = make_stages(tmp_path)
    changed = {
        name
        for name in set(before) - NOT_OURS
        if before[name].exec_properties["code_digest"] != after[name].exec_properties["code_digest"]
    }
    assert stage in changed
    assert changed != set(before) - NOT_OURS


def test_another_strategy_trains_by_the_same_function(tmp_path):
    trainer = make_stages(tmp_path, training={"strategy": "mirrored"})["Trainer"]
    assert "components.trainer.separate_process" in trainer.exec_properties["run_fn"]
    named = dotted_names(str(trainer.exec_properties["custom_config"]))
    assert ROOT / "models/trainer.py" in closure(named).values()


def test_states_that_a_stage_reads_are_among_what_the_cache_sees(stages):
    given = {name: dict(stage.exec_properties) for name, stage in stages.items()}
    assert given["LogExampleGen"]["data_fingerprint"] == "log 1"
    states = {name for name, properties in given.items() if "serving_state" in properties}
    assert states == {"Trainer", "TaskEvaluator", "ModelPusher"}


def test_the_whole_product_is_reached_from_the_command_line():
    files = {
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".html", ".css")
    }
    # The other door, and what writes a page of the docs.
    not_run = {"pipeline/__main__.py", "pipeline/inspection/config_reference.py"}
    missing = files - set(closure([WHOLE_PRODUCT]).values())
    assert {path.relative_to(ROOT).as_posix() for path in missing} == not_run


def test_a_name_that_is_no_module_of_ours_is_passed_over():
    assert closure(["numpy.random", "taskroute.nothing", "taskroute"]) == {}
    assert code_digest("taskroute.schemas.errors") != code_digest("taskroute.schemas.base")
