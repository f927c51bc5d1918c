"""The exit code of a run whose stages went well: what the verdict and the serving check decide."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from rich.console import Console

from taskroute.components.served.check import Check, ServingReport
from taskroute.pipeline.run import run
from taskroute.pipeline.run.paths import RunPaths


class Pushed:
    """A `pushed_model` that was not pushed."""

    def get_int_custom_property(self, name):
        return 0


@pytest.mark.parametrize(
    ("blessed", "serves", "code"),
    [(True, True, 0), (False, True, 4), (True, False, 5), (False, False, 5)],
)
def test_a_model_that_does_not_serve_is_told_apart_from_one_that_is_no_better(
    tmp_path, monkeypatch, blessed, serves, code
):
    report = ServingReport(checks=(Check(name="warm_up", passed=serves, detail="row 3 differs"),))
    (tmp_path / "serving_check.json").write_text(report.model_dump_json())
    outputs = {
        "TaskEvaluator": {"evaluation": [SimpleNamespace(uri="")]},
        "ServingCheck": {"blessing": [SimpleNamespace(uri=str(tmp_path))]},
        "ModelPusher": {"pushed_model": [Pushed()]},
    }
    stages = {name: SimpleNamespace(outputs=found) for name, found in outputs.items()}
    # In place of the modules that import TFX.
    for name, content in (
        ("local_runner", {"StageRun": object, "run_stages": lambda *_: stages}),
        ("pipeline", {"create_pipeline": lambda *_, **__: None}),
    ):
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, f"taskroute.pipeline.dag.{name}", module)
    evaluation = SimpleNamespace(
        model_dump=lambda mode: {"tasks": {}, "baseline": None, "slices": []}, blessed=blessed
    )
    monkeypatch.setattr(run, "read_evaluation", lambda folder: (evaluation, evaluation))
    config = SimpleNamespace(name="demo", trunk=SimpleNamespace(kind="mmoe"), tasks=())
    found = run.RunRecord("demo", "now")
    paths = RunPaths(Path(tmp_path), "demo")
    run._run_stages(config, None, "", paths, found, Console(quiet=True))
    assert found.exit_code == code
    assert found.serving_check["summary"] == (
        "every check passed" if serves else "warm_up: row 3 differs"
    )
