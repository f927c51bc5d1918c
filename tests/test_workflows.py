"""The workflows are YAML that GitHub takes, and the commands that they call exist."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from taskroute.pipeline.cli.main import cli

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(path):
    return [step for job in load(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_a_trigger_and_jobs_that_end(path):
    content = load(path)
    # YAML 1.1 reads the key `on` as true.
    assert content[True]
    for job in content["jobs"].values():
        assert job["runs-on"].startswith("ubuntu-")
        assert job["timeout-minutes"] <= 360


def test_both_tiers_of_tests_fit_into_the_limit_of_the_jobs_that_run_them():
    assert {"make test", "make test-slow"} <= set((ROOT / ".ci" / "run").read_text().splitlines())
    tiers, installing = 15 + 60, 15
    for job in load(ROOT / ".github" / "workflows" / "test.yml")["jobs"].values():
        assert job["timeout-minutes"] >= tiers + installing


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_command_that_a_workflow_calls_exists(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in (line for step in steps(path) for line in step.get("run", "").splitlines()):
        program, *arguments = shlex.split(re.sub(r"\$\{SPAN:\+(.*)\}", r"\1", line))
        match Path(program).name:
            case "taskroute":
                called = CliRunner().invoke(cli, [arguments[0], "--help"])
                assert called.exit_code == 0, line
                for option in (argument for argument in arguments if argument.startswith("-")):
                    assert option in called.output, line
            case "make":
                assert set(arguments) <= targets, line
            case "run":
                assert (ROOT / program).is_file()
            case other:
                assert other in ("pip", "python", "rm"), line


def test_a_retraining_waits_for_the_one_before_and_keeps_its_root_and_report():
    (path,) = (path for path in WORKFLOWS if path.name == "retrain.yml")
    content = load(path)
    assert content["concurrency"] == {"group": "retrain", "cancel-in-progress": False}
    assert content[True]["schedule"]
    used = {step["uses"].partition("@")[0]: step for step in steps(path) if "uses" in step}
    restore, save = (used[f"actions/cache/{what}"] for what in ("restore", "save"))
    (command,) = (step["run"] for step in steps(path) if "taskroute" in step.get("run", ""))
    root = command.partition("--root ")[2].split()[0]
    assert restore["with"]["path"] == save["with"]["path"] == root
    assert restore["with"]["key"] == save["with"]["key"]
    # Also where the candidate was refused: its root is what the next night begins with.
    assert save["if"] == used["actions/upload-artifact"]["if"] == "always()"
    assert f"{root}/reports" in used["actions/upload-artifact"]["with"]["path"]
