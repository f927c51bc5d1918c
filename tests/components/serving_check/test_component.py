"""The component: what it writes, and that TFX's own Pusher would understand it."""

import pytest
from tfx import types
from tfx.types import standard_artifacts

from taskroute.components.serving_check import executor
from taskroute.components.serving_check.component import ServingCheck
from taskroute.schemas.serving_check import Check, Contract, ServingReport

CONTRACT = Contract(outputs={"click": "binary"}, batch_sizes=(1, 64))


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Runs the executor on a model for which the probe reports `passed`."""
    (tmp_path / "model" / "Format-Serving").mkdir(parents=True)

    def run(passed):
        calls = []

        def check_model(folder, contract):
            calls.append((str(folder), contract))
            return ServingReport(checks=(Check(name="loading", passed=passed, detail="why"),))

        monkeypatch.setattr(executor, "check_model", check_model)
        model, blessing = standard_artifacts.Model(), standard_artifacts.InfraBlessing()
        model.uri, blessing.uri = str(tmp_path / "model"), str(tmp_path / "blessing")
        component = ServingCheck(types.Channel(type=standard_artifacts.Model), CONTRACT)
        properties = component.exec_properties
        executor.Executor().Do({"model": [model]}, {"blessing": [blessing]}, properties)
        assert calls == [(str(tmp_path / "model" / "Format-Serving"), CONTRACT)]
        return blessing

    return run


@pytest.mark.parametrize(
    ("passed", "file"), [(True, "INFRA_BLESSED"), (False, "INFRA_NOT_BLESSED")]
)
def test_the_blessing_says_whether_the_model_serves(check, tmp_path, passed, file):
    blessing = check(passed)
    assert blessing.get_int_custom_property("blessed") == int(passed)
    assert {path.name for path in (tmp_path / "blessing").iterdir()} == {
        file,
        "serving_check.json",
    }
    assert ServingReport.read(blessing.uri).passed is passed


def test_the_summary_names_the_check_and_what_is_wrong():
    checks = [
        Check(name="loading", passed=True, detail=""),
        Check(name="warm_up", passed=False, detail="row 3 differs"),
    ]
    assert ServingReport(checks=tuple(checks)).summary == "warm_up: row 3 differs"
    assert ServingReport(checks=tuple(checks[:1])).summary == "every check passed"
