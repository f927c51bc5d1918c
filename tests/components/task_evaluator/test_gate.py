"""The table of verdicts, and the files of an evaluation."""

import json
import subprocess
import sys

import pytest

from taskroute.components.task_evaluator.gate import (
    METRICS_FILE,
    VERDICT_FILE,
    Measurements,
    judge,
    read_evaluation,
    write_evaluation,
)
from taskroute.components.task_evaluator.metrics import BinaryStatistics, TaskMetrics
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import Gate


def _metrics(kind="binary", undefined=None, **values):
    return TaskMetrics(
        kind=kind, num_examples=10, weight=10, num_invalid=0, values=values,
        undefined=undefined or {},
    )  # fmt: skip


_TASKS = {
    "click": _metrics(auc=0.7),
    "rare": _metrics(auc=None, undefined={"auc": "every label is 0"}),
    "seconds": _metrics("regression", mae=12.0, rmse=20.0),
}


@pytest.mark.parametrize(
    ("gate", "value", "passed", "rule", "reason"),
    [
        (Gate(task="click", at_least=0.65), 0.7, True, "at least 0.65", "0.7 is at least 0.65"),
        (Gate(task="click", at_least=0.7), 0.7, True, "at least 0.7", "0.7 is at least 0.7"),
        (Gate(task="click", at_least=0.8), 0.7, False, "at least 0.8", "0.7 is not at least 0.8"),
        (Gate(task="click", at_most=0.6), 0.7, False, "at most 0.6", "0.7 is not at most 0.6"),
        (Gate(task="rare", at_least=0.0), None, False, "at least 0.0",
         "auc is undefined: every label is 0"),
        (Gate(task="rare", at_most=1.0), None, False, "at most 1.0",
         "auc is undefined: every label is 0"),
        (Gate(task="seconds", metric="mae", at_most=12.0), 12.0, True, "at most 12.0",
         "12 is at most 12.0"),
        (Gate(task="seconds", metric="rmse", at_most=15.0), 20.0, False, "at most 15.0",
         "20 is not at most 15.0"),
        (Gate(task="seconds", metric="auc", at_least=0.5), None, False, "at least 0.5",
         "auc is undefined: regression tasks do not have it"),
    ],
)  # fmt: skip
def test_a_gate_says_its_value_rule_and_reason(gate, value, passed, rule, reason):
    verdict = judge([gate], _TASKS)
    assert verdict.blessed is passed
    (said,) = verdict.gates
    assert said.model_dump() == {
        "task": gate.task,
        "metric": gate.metric,
        "value": value,
        "rule": rule,
        "passed": passed,
        "reason": reason,
    }


def test_a_prediction_that_is_nan_passes_no_gate():
    statistics = BinaryStatistics.of([0.1, 0.9, float("nan")], [0, 1, 1], [1, 1, 1])
    verdict = judge([Gate(task="click", at_least=0.0)], {"click": statistics.metrics()})
    assert not verdict.blessed
    assert verdict.gates[0].reason == ("auc is undefined: 1 prediction is not a number in [0, 1]")


def test_one_failed_gate_of_many_withholds_the_blessing():
    passes, fails = Gate(task="click", at_least=0.6), Gate(task="rare", at_least=0.6)
    assert judge([passes, passes], _TASKS).blessed
    verdict = judge([passes, fails, passes], _TASKS)
    assert not verdict.blessed
    assert verdict.summary == (
        "gates failed (1 of 3); rare auc: auc is undefined: every label is 0"
    )


def test_without_gates_every_model_is_blessed_and_the_verdict_says_so():
    verdict = judge([], _TASKS)
    assert verdict.blessed
    assert verdict.summary == "no gates: blessed unconditionally"


def test_what_is_written_is_strict_json_and_reads_back(tmp_path):
    nothing = BinaryStatistics.empty().metrics()
    measurements = Measurements(
        split="test", num_examples=3, seconds=0.5, tasks={**_TASKS, "empty": nothing}
    )
    verdict = judge([Gate(task="rare", at_least=0.5)], _TASKS)
    folder = tmp_path / "not" / "yet"
    write_evaluation(folder, measurements, verdict)
    assert read_evaluation(str(folder)) == (measurements, verdict)
    for name in (METRICS_FILE, VERDICT_FILE):
        json.loads((folder / name).read_text(), parse_constant=pytest.fail)


def test_a_missing_or_foreign_record_is_named(tmp_path):
    with pytest.raises(DataError, match=r"metrics\.json: cannot be read: No such file"):
        read_evaluation(tmp_path)
    (tmp_path / METRICS_FILE).write_text("{}")
    with pytest.raises(DataError, match=r"metrics\.json: is not the record of an evaluation"):
        read_evaluation(tmp_path)


def test_an_evaluation_is_read_without_tensorflow():
    program = (
        "import sys, taskroute.components.task_evaluator.gate\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'tfx', 'apache_beam')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
