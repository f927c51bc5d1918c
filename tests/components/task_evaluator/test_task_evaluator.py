"""Metrics, slices, gates and the baseline of the component."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from evaluated_model import (
    NUM_ROWS,
    TASKS,
    Ranker,
    export,
    file_names,
    make_rows,
    users_and_devices,
)
from sklearn import metrics as oracle
from tfx import types
from tfx.types import standard_artifacts

from taskroute.components.logs import examples
from taskroute.components.task_evaluator.component import TaskEvaluator
from taskroute.schemas.evaluation import Evaluation, Gate
from taskroute.schemas.evaluation_record import (
    Baseline,
)
from taskroute.schemas.findings import Findings
from taskroute.schemas.serving import ModelInfo, RequestColumn, Serving


def test_the_outputs_are_what_tfx_evaluator_has():
    component = TaskEvaluator(
        examples=types.Channel(type=standard_artifacts.Examples),
        model=types.Channel(type=standard_artifacts.Model),
        transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
        tasks=TASKS,
        evaluation=Evaluation(gates=(Gate(task="click", at_least=0.6),)),
    )
    outputs = {name: channel.type for name, channel in component.outputs.items()}
    assert outputs == {
        "evaluation": standard_artifacts.ModelEvaluation,
        "blessing": standard_artifacts.ModelBlessing,
    }


def test_metrics_are_those_of_the_labelled_test_rows_in_the_column_s_units(evaluate):
    _, (measurements, _) = evaluate()
    x, clicked, watch_seconds, known = make_rows(NUM_ROWS)
    probability = 1 / (1 + np.exp(-x.astype(np.float64)))
    click, watch_time = measurements.tasks["click"], measurements.tasks["watch_time"]

    assert (measurements.split, measurements.num_examples) == ("test", NUM_ROWS)
    assert measurements.seconds > 0
    assert click.num_examples == known.sum()
    auc = oracle.roc_auc_score(clicked[known], probability[known])
    log_loss = oracle.log_loss(clicked[known], probability[known])
    assert click.values["auc"] == pytest.approx(auc, abs=1e-4)
    assert click.values["log_loss"] == pytest.approx(log_loss, rel=1e-6)

    watched = known & (clicked == 1)
    label, prediction = watch_seconds[watched], 30 + x[watched]
    assert watch_time.num_examples == watched.sum()
    assert watch_time.values["mean_label"] == pytest.approx(label.mean(), rel=1e-5)
    mae = oracle.mean_absolute_error(label, prediction)
    rmse = oracle.root_mean_squared_error(label, prediction)
    assert watch_time.values["mae"] == pytest.approx(mae, rel=1e-5)
    assert watch_time.values["rmse"] == pytest.approx(rmse, rel=1e-5)


def test_slices_and_units_are_those_of_their_columns(evaluate):
    _, (measurements, _) = evaluate(slices=("device",), group_key="user")
    x, clicked, _, known = make_rows(NUM_ROWS)
    users, devices = (np.array(column) for column in users_and_devices(NUM_ROWS))
    for found in measurements.slices:
        rows = known & (devices == found.value)
        click = found.tasks["click"].candidate
        assert click.num_examples == rows.sum()
        auc = oracle.roc_auc_score(clicked[rows], x[rows])
        assert click.values["auc"] == pytest.approx(auc, abs=1e-4)
    total = weight = 0.0
    for user in np.unique(users):
        rows = known & (users == user)
        if len(np.unique(clicked[rows])) == 2:
            total += rows.sum() * oracle.roc_auc_score(clicked[rows], x[rows])
            weight += rows.sum()
    gauc = measurements.tasks["click"].values["gauc"]
    assert gauc == pytest.approx(total / weight, rel=1e-9)


def test_the_size_of_a_batch_changes_nothing(evaluate, monkeypatch):
    _, (whole, _) = evaluate(slices=("device",), group_key="user")
    monkeypatch.setattr(examples, "BATCH_ROWS", 170)
    _, (in_parts, _) = evaluate(slices=("device",), group_key="user")
    for one, other in zip(whole.slices, in_parts.slices, strict=True):
        for name, measured in one.tasks.items():
            values = other.tasks[name].candidate.values
            assert values == pytest.approx(measured.candidate.values, rel=1e-6)
            intervals = other.tasks[name].candidate.intervals
            assert intervals.keys() == measured.candidate.intervals.keys()


def test_a_model_that_passes_every_gate_is_blessed(evaluate, model_folder):
    gates = (
        Gate(task="click", at_least=0.6),
        Gate(task="watch_time", metric="mae", at_most=1000.0),
        Gate(task="click", may_lose=0.0),
    )
    blessing, (measurements, verdict) = evaluate(*gates)
    assert verdict.blessed
    # The first run has nothing to lose against.
    assert [gate.passed for gate in verdict.gates] == [True, True]
    assert measurements.baseline is None
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_string_custom_property("current_model") == str(model_folder)
    assert file_names(blessing.uri) == ["BLESSED"]


def test_a_model_that_fails_one_gate_is_not_blessed(evaluate):
    gates = (Gate(task="click", at_least=0.6), Gate(task="click", at_least=0.99))
    blessing, (_, verdict) = evaluate(*gates)
    assert not verdict.blessed
    assert [gate.passed for gate in verdict.gates] == [True, False]
    assert blessing.has_custom_property("blessed")
    assert blessing.get_int_custom_property("blessed") == 0
    assert file_names(blessing.uri) == ["NOT_BLESSED"]


def test_the_baseline_is_scored_on_the_same_rows(evaluate, model_folder, tmp_path):
    export(Ranker(-1.0), tmp_path / "reversed")
    gates = tuple(Gate(task=task.name, metric=metric, may_lose=0.01) for task, metric in zip(
        TASKS, ("auc", "rmse"), strict=True
    ))  # fmt: skip
    _, (same, verdict) = evaluate(*gates, baseline=model_folder)
    assert verdict.blessed
    served = str(model_folder / "Format-Serving")
    assert same.baseline == Baseline(version=3, path=served, model_digest="d")
    assert {found.value for found in same.compared["click"].differences.values()} == {0.0}

    _, (worse, verdict) = evaluate(*gates, model=tmp_path / "reversed", baseline=model_folder)
    assert not verdict.blessed
    assert verdict.gates[0].passed is False
    compared = worse.compared["click"]
    assert compared.baseline == same.tasks["click"]
    assert verdict.gates[0].difference == pytest.approx(
        compared.candidate.values["auc"] - compared.baseline.values["auc"]
    )


def test_a_task_that_the_baseline_does_not_know_is_not_compared(evaluate, model_folder, tmp_path):
    ranker = Ranker(1.0)
    only_click = tf.function(
        lambda x: {"click": ranker.score(x)["click"]},
        input_signature=[tf.TensorSpec([None], tf.float32, name="x")],
    )
    tf.saved_model.save(
        ranker, str(tmp_path / "old" / "Format-Serving"), {"raw_features": only_click}
    )
    gates = (Gate(task="watch_time", metric="mae", may_lose=0.0), Gate(task="click", may_lose=0.0))
    _, (measurements, verdict) = evaluate(*gates, baseline=tmp_path / "old")
    assert verdict.blessed
    assert [gate.passed for gate in verdict.gates] == [None, True]
    assert measurements.compared["watch_time"].baseline is None


def test_a_baseline_scored_without_a_column_is_told(evaluate, model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "old")
    columns = (
        RequestColumn(name="x", input="x", kind="number"),
        RequestColumn(name="price (EUR)", input="price_EUR", kind="number"),
    )
    ModelInfo(
        name="demo",
        config_digest="",
        data_span=None,
        num_rows={},
        binary_tasks=("click",),
        regression_tasks=(),
        serving=Serving(),
        columns=columns,
    ).write(tmp_path / "old" / "Format-Serving")
    _, (_, verdict) = evaluate(Gate(task="click", may_lose=0.0), baseline=tmp_path / "old")
    assert "the baseline was scored without 'price (EUR)', which the log lacks" in verdict.summary
    (finding,) = Findings.read(tmp_path / "evaluation").findings
    assert finding.subject == "price (EUR)"


def test_a_baseline_with_all_its_columns_is_told_of_nowhere(evaluate, model_folder, tmp_path):
    _, (_, verdict) = evaluate(Gate(task="click", may_lose=0.0), baseline=model_folder)
    assert "scored without" not in verdict.summary
    assert Findings.find(tmp_path / "evaluation") is None
