"""The exit code of a run whose stages went well: what the verdict and the serving check decide."""

import pytest

from taskroute.pipeline.run.filling import add_outcome
from taskroute.schemas.evaluation_record import Measurements, Verdict
from taskroute.schemas.run_record import RunRecord
from taskroute.schemas.serving_check import Check, ServingReport


class Output:
    """An artifact with a folder and integer properties."""

    def __init__(self, uri="", **properties):
        self.uri, self._properties = str(uri), properties

    def get_int_custom_property(self, name):
        return self._properties.get(name, 0)


class FinishedStage:
    """A finished stage with one output."""

    def __init__(self, name, artifact):
        self._name, self._artifact = name, artifact

    def output(self, name):
        assert name == self._name
        return self._artifact


@pytest.mark.parametrize(
    ("blessed", "serves", "loads", "code"),
    [
        (True, True, None, 0),
        (False, True, None, 4),
        (True, False, None, 5),
        (False, False, None, 5),
        (True, True, True, 0),
        (True, True, False, 5),
    ],
)
def test_a_model_that_does_not_serve_is_told_apart_from_one_that_is_no_better(
    tmp_path, blessed, serves, loads, code
):
    check = Check(name="warm_up", passed=serves, detail="row 3 differs")
    ServingReport(checks=(check,)).write(tmp_path)
    Measurements(split="test", num_examples=1, seconds=1.0).write(tmp_path)
    Verdict(blessed=blessed, summary="", gates=()).write(tmp_path)
    stages = {
        "TaskEvaluator": FinishedStage("evaluation", Output(tmp_path)),
        "ServingCheck": FinishedStage("blessing", Output(tmp_path)),
        "ModelPusher": FinishedStage("pushed_model", Output()),
    }
    if loads is not None:
        stages["InfraValidator"] = FinishedStage("blessing", Output(blessed=int(loads)))
    record = RunRecord(name="demo", started="now")
    add_outcome(record, stages)
    assert record.exit_code == code
    assert record.serving_check.checks == (check,)
    if loads is False:
        assert record.serving_check.summary == "InfraValidator: the server did not load the model"
    else:
        assert record.serving_check.summary == (
            "every check passed" if serves else "warm_up: row 3 differs"
        )
