"""The decision: what is shown, what is charged, and what is never a pass."""

import json
import subprocess
import sys

import numpy as np
import pytest

from taskroute.components.measures.binary import BinaryStatistics
from taskroute.components.measures.rows import make_rows
from taskroute.components.measures.task_metrics import measure
from taskroute.components.task_evaluator.gate import judge
from taskroute.schemas.errors import DataError
from taskroute.schemas.evaluation import Gate
from taskroute.schemas.evaluation_record import (
    Baseline,
    Interval,
    MeasuredSlice,
    MeasuredTask,
    Measurements,
    TaskMetrics,
    Verdict,
)

_BASELINE = Baseline(version=3, path="serving/3", model_digest="d")


def _metrics(kind="binary", undefined=None, error=0.001, num_examples=1000, **values):
    intervals = {
        name: Interval(
            low=value - 2 * error, high=value + 2 * error,
            standard_error=error, degrees_of_freedom=31,
        )
        for name, value in values.items() if value is not None
    }  # fmt: skip
    return TaskMetrics(
        kind=kind, num_examples=num_examples, weight=num_examples, num_invalid=0, values=values,
        undefined=undefined or {}, intervals=intervals,
    )  # fmt: skip


def _measurements(slices=(), baseline=None, confidence=0.95, **tasks):
    compared = {
        name: task if isinstance(task, MeasuredTask) else MeasuredTask(candidate=task)
        for name, task in tasks.items()
    }
    return Measurements(
        split="test", num_examples=1000, seconds=0.5, confidence=confidence, baseline=baseline,
        compared=compared, slices=slices,
    )  # fmt: skip


_FIRST_RUN = _measurements(
    click=_metrics(auc=0.7),
    rare=_metrics(auc=None, undefined={"auc": "every label is 0"}),
    seconds=_metrics("regression", mae=12.0, rmse=20.0),
    few=_metrics(auc=0.9, num_examples=99),
    wide=_metrics(auc=0.7, error=0.05),
    odd=_metrics(auc=0.7).model_copy(update={"intervals": {}}),
)


@pytest.mark.parametrize(
    ("gate", "passed", "rule", "reason"),
    [
        (Gate(task="click", at_least=0.65), True, "at least 0.65", "0.7 is at least 0.65"),
        (Gate(task="click", at_least=0.8), False, "at least 0.8", "0.7 is not at least 0.8"),
        (Gate(task="click", at_least=0.699), False, "at least 0.699",
         "0.7 is at least 0.699, but is not shown to be: the interval is 0.697957 to 0.702036"),
        (Gate(task="click", at_most=0.6), False, "at most 0.6", "0.7 is not at most 0.6"),
        (Gate(task="wide", at_least=0.65), False, "at least 0.65",
         "0.7 is at least 0.65, but is not shown to be: the interval is 0.589452 to 0.791319"),
        (Gate(task="rare", at_least=0.0), False, "at least 0.0",
         "auc is undefined: every label is 0"),
        (Gate(task="rare", at_most=1.0), False, "at most 1.0",
         "auc is undefined: every label is 0"),
        (Gate(task="odd", at_least=0.1), False, "at least 0.1",
         "it has no interval: too few rows, or too few of one class"),
        (Gate(task="few", at_least=0.5), False, "at least 0.5",
         "99 labelled rows are fewer than 100"),
        (Gate(task="few", at_least=0.5, min_examples=99), True, "at least 0.5",
         "0.9 is at least 0.5"),
        (Gate(task="seconds", metric="mae", at_most=12.1), True, "at most 12.1",
         "12 is at most 12.1"),
        (Gate(task="seconds", metric="rmse", at_most=15.0), False, "at most 15.0",
         "20 is not at most 15.0"),
        (Gate(task="seconds", metric="auc", at_least=0.5), False, "at least 0.5",
         "auc is undefined: regression tasks do not have it"),
    ],
)  # fmt: skip
def test_a_bound_is_kept_only_where_that_is_shown(gate, passed, rule, reason):
    verdict = judge([gate], _FIRST_RUN)
    assert verdict.blessed is passed
    (said,) = verdict.gates
    assert (said.task, said.metric, said.rule, said.passed) == (
        gate.task, gate.metric, rule, passed,
    )  # fmt: skip
    assert said.reason == reason


def test_one_failed_gate_of_many_withholds_the_blessing():
    passes, fails = Gate(task="click", at_least=0.6), Gate(task="rare", at_least=0.6)
    assert judge([passes, passes], _FIRST_RUN).blessed
    verdict = judge([passes, fails, passes], _FIRST_RUN)
    assert not verdict.blessed
    assert verdict.summary == (
        "gates failed (1 of 3); rare auc: auc is undefined: every label is 0"
    )


def test_without_gates_every_model_is_blessed_and_the_verdict_says_so():
    verdict = judge([], _FIRST_RUN)
    assert verdict.blessed
    assert verdict.summary == "no gates: blessed unconditionally"


def test_a_first_run_has_nothing_to_lose():
    verdict = judge([Gate(task="click", at_least=0.6, may_lose=0.0)], _FIRST_RUN)
    assert [gate.rule for gate in verdict.gates] == ["at least 0.6"]
    verdict = judge([Gate(task="click", may_lose=0.0)], _FIRST_RUN)
    assert verdict.blessed
    assert verdict.summary == "nothing to lose against: blessed"


def _slices(**by_value):
    return tuple(
        MeasuredSlice(column="device", value=value, tasks={"click": MeasuredTask(candidate=task)})
        for value, task in by_value.items()
    )


_SLICED = _measurements(
    slices=_slices(
        ios=_metrics(auc=0.7),
        web=_metrics(auc=0.5),
        tv=_metrics(auc=0.9, num_examples=7),
        one=_metrics(auc=None, undefined={"auc": "every label is 1"}),
    ),
    click=_metrics(auc=0.7),
)


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("device", {"device=ios": True, "device=web": False, "device=tv": None,
                    "device=one": False}),
        ("device=ios", {"device=ios": True}),
        ("device=tv", {"device=tv": False}),
        ("device=car", {"device=car": False}),
    ],
)  # fmt: skip
def test_a_gate_on_a_slice_judges_each_value_that_has_rows_enough(which, expected):
    verdict = judge([Gate(task="click", slice=which, at_least=0.6)], _SLICED)
    assert {said.slice: said.passed for said in verdict.gates} == expected
    assert verdict.blessed is (which == "device=ios")


def test_an_empty_slice_and_one_class_are_said_as_such():
    gates = [Gate(task="click", slice=which, at_least=0.6) for which in ("device=car", "device")]
    reasons = {said.slice: said.reason for said in judge(gates, _SLICED).gates}
    assert reasons["device=car"] == "no row is in this slice"
    assert reasons["device=one"] == "auc is undefined: every label is 1"
    assert reasons["device=tv"] == "7 labelled rows are fewer than 100"


def test_a_column_of_which_no_value_can_be_judged_passes_nothing():
    few = _measurements(slices=_slices(tv=_metrics(auc=0.9, num_examples=7)), click=_metrics())
    verdict = judge([Gate(task="click", slice="device", at_least=0.1)], few)
    assert not verdict.blessed
    assert verdict.gates[-1].reason == "no value of 'device' has 100 labelled rows"


def _probability(score):
    return 1 / (1 + np.exp(2 - score))


def _compare(label, candidate, baseline):
    rows = make_rows("binary", np.stack([candidate, baseline]), label)
    statistics = BinaryStatistics(2, False)
    statistics.add(rows)
    return measure(statistics, 0.95)


def _world(seed, num_rows=4000):
    """Labels, a score that predicts them, and noise."""
    random = np.random.default_rng(seed)
    label = (random.random(num_rows) < 0.2).astype(float)
    return label, random.normal(size=num_rows) + label, random.normal(size=num_rows)


_MAY_LOSE = [Gate(task=task, may_lose=0.005) for task in ("click", "like")]


def test_a_task_that_falls_is_refused_and_named_though_the_mean_rises():
    label, score, noise = _world(1)
    good, better = _probability(score), _probability(score + 1.2 * label)
    worse = _probability(score + 0.7 * noise)
    measurements = _measurements(
        baseline=_BASELINE, click=_compare(label, better, good), like=_compare(label, worse, good)
    )
    aucs = [task.differences["auc"].value for task in measurements.compared.values()]
    assert np.mean(aucs) > 0
    verdict = judge(_MAY_LOSE, measurements)
    assert not verdict.blessed
    assert [said.passed for said in verdict.gates] == [True, False]
    assert "like auc: a loss of more than 0.005 is shown: -0.0" in verdict.summary


def test_a_random_one_is_refused_and_an_equal_and_a_better_one_pass():
    label, score, noise = _world(2)
    good = _probability(score)
    cases = {
        "random": (_probability(noise), False),
        "equal": (good, True),
        "better": (_probability(score + 0.2 * label), True),
    }
    for name, (candidate, blessed) in cases.items():
        task = _compare(label, candidate, good)
        measurements = _measurements(baseline=_BASELINE, click=task, like=task)
        assert judge(_MAY_LOSE, measurements).blessed is blessed, name
        strict = [Gate(task="click", may_lose=0.0, at_least=0.6)]
        assert judge(strict, measurements).blessed is blessed, name


def test_where_nothing_differs_a_refusal_is_as_rare_as_the_confidence_says():
    """Two tasks, two models as good as each other, other rows in each of 100 repeats."""
    gates = [Gate(task=task, may_lose=0.0) for task in ("click", "like")]
    refused = 0
    for seed in range(100):
        tasks = {}
        for place, task in enumerate(("click", "like")):
            label, score, noise = _world(1000 + 2 * seed + place, num_rows=2000)
            other = np.random.default_rng(9000 + 2 * seed + place).normal(size=2000)
            candidate, baseline = score + 0.5 * noise, score + 0.5 * other
            tasks[task] = _compare(label, _probability(candidate), _probability(baseline))
        refused += not judge(gates, _measurements(baseline=_BASELINE, **tasks)).blessed
    assert refused <= 5


def test_an_interval_is_wider_the_more_losses_are_judged():
    label, score, noise = _world(3)
    task = _compare(label, _probability(score + 0.3 * noise), _probability(score))
    measurements = _measurements(baseline=_BASELINE, click=task, like=task)
    alone = judge(_MAY_LOSE[:1], measurements).gates[0]
    both = judge(_MAY_LOSE, measurements).gates[0]
    assert (alone.confidence, both.confidence) == (0.95, pytest.approx(0.975))
    assert both.low < alone.low < alone.high < both.high


def test_what_the_baseline_leaves_undefined_passes_nothing():
    label, score, _ = _world(4)
    good = _probability(score)
    task = _compare(label, good, np.full(len(label), 0.2))
    verdict = judge(_MAY_LOSE[:1], _measurements(baseline=_BASELINE, click=task))
    assert not verdict.blessed
    assert verdict.gates[0].reason == "the baseline's auc is undefined: every prediction is 0.2"
    constant = _compare(label, np.full(len(label), 0.2), good)
    verdict = judge(_MAY_LOSE[:1], _measurements(baseline=_BASELINE, click=constant))
    assert verdict.gates[0].reason == "auc is undefined: every prediction is 0.2"


def test_a_task_that_the_baseline_does_not_predict_is_not_judged():
    verdict = judge(_MAY_LOSE[:1], _measurements(baseline=_BASELINE, click=_metrics(auc=0.7)))
    assert verdict.gates[0].passed is None
    assert verdict.gates[0].reason == "the baseline does not predict this task"


def test_more_of_an_error_is_a_loss():
    label, score, noise = _world(5)
    better, worse = _probability(score), _probability(score + noise)
    gates = [Gate(task="click", metric="log_loss", may_lose=0.0)]
    task = _compare(label, better, worse)
    assert judge(gates, _measurements(baseline=_BASELINE, click=task)).blessed
    task = _compare(label, worse, better)
    assert not judge(gates, _measurements(baseline=_BASELINE, click=task)).blessed


def test_what_is_written_is_strict_json_and_reads_back(tmp_path):
    verdict = judge([Gate(task="rare", at_least=0.5)], _FIRST_RUN)
    folder = tmp_path / "not" / "yet"
    _SLICED.write(folder)
    verdict.write(folder)
    assert Measurements.read(str(folder)) == _SLICED
    assert Verdict.read(folder) == verdict
    for name in (Measurements.FILE, Verdict.FILE):
        json.loads((folder / name).read_text(), parse_constant=pytest.fail)


def test_a_missing_or_foreign_record_is_named(tmp_path):
    with pytest.raises(DataError, match=r"metrics\.json: cannot be read: No such file"):
        Measurements.read(tmp_path)
    (tmp_path / Measurements.FILE).write_text("{}")
    with pytest.raises(DataError, match=r"metrics\.json: is not the record of an evaluation"):
        Measurements.read(tmp_path)


def test_an_evaluation_is_read_without_tensorflow():
    program = (
        "import sys, taskroute.components.task_evaluator.gate\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'tfx', 'apache_beam')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("gates", [(), (Gate(task="click", at_least=0.6),)])
def test_a_task_without_a_row_that_counts_passes_nothing(gates):
    nothing = _metrics(num_examples=0, undefined={"auc": "no row has a label"}, auc=None)
    verdict = judge(gates, _measurements(click=_metrics(auc=0.7), like=nothing))
    assert not verdict.blessed
    assert verdict.gates[-1].task == "like"
    assert "like num_examples: no test row counts for the task" in verdict.summary
