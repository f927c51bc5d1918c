"""The record of a run as its stages fill it, and the lines that a person sees meanwhile."""

import io
import json

from rich.console import Console

from taskroute.pipeline.run.console import print_failure, print_outcome, print_stage
from taskroute.pipeline.run.filling import add_outcome, add_stage, write_alerts
from taskroute.pipeline.run.paths import RunPaths
from taskroute.schemas.change_record import DayChanges, JudgedChange
from taskroute.schemas.evaluation_record import (
    GateVerdict,
    MeasuredSlice,
    MeasuredTask,
    Measurements,
    TaskMetrics,
    Verdict,
)
from taskroute.schemas.run_record import RunRecord, SliceMetrics
from taskroute.schemas.serving_check import Check, ServingReport
from taskroute.schemas.warm_start import WarmStartOutcome


class Artifact:
    """An artifact as ML Metadata gives it back."""

    def __init__(self, uri, **properties):
        self.uri, self._properties = str(uri), properties

    def has_custom_property(self, name):
        return name in self._properties

    def get_int_custom_property(self, name):
        return self._properties.get(name, 0)

    def get_string_custom_property(self, name):
        return self._properties.get(name, "")


class FinishedStage:
    def __init__(self, name, seconds=2.0, cached=False, **outputs):
        self.name, self.seconds, self.cached = name, seconds, cached
        self.outputs = {output: [artifact] for output, artifact in outputs.items()}

    def output(self, name):
        return self.outputs[name][0]


CHANGE = JudgedChange(
    signal="missing",
    name="age",
    since="2026-01-01",
    now="2026-01-02",
    before=0.03,
    levels={"2026-01-02": 0.25},
    change=0.22,
    low=0.2,
    high=0.24,
    ordinary=0.0,
    threshold=0.05,
    alert=True,
)
METRICS = TaskMetrics(
    kind="binary",
    num_examples=30,
    weight=30.0,
    num_invalid=0,
    values={"auc": 0.75, "actual_rate": 0.1, "calibration": 1.02, "gauc": None},
    undefined={"gauc": "no key"},
)


def ingested(root):
    return FinishedStage(
        "LogExampleGen",
        examples=Artifact(
            root / "artifacts" / "examples" / "1",
            num_rows_train=80,
            num_rows_validation=10,
            num_rows_test=30,
            first_span="2026-01-01",
            last_span="2026-01-02",
            missing_spans="",
        ),
        quarantine=Artifact(root / "quarantine", num_rows=3, num_rows_not_json=3),
    )


def test_stages_and_outcome_fill_the_record_and_are_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "root"
    record = RunRecord(name="feed", started="now", log=str(root / "logs" / "now.log"))
    terminal = Console(width=160, highlight=False, record=True, file=io.StringIO())
    DayChanges(
        now="2026-01-02",
        rows={"2026-01-02": 9},
        every=1,
        served_version=None,
        note="",
        changes=(CHANGE, CHANGE.model_copy(update={"alert": False})),
        histograms=(),
    ).write(root / "changes")
    WarmStartOutcome(
        rows=9, rows_taken=8, weights=2, weights_taken=2, reasons=(), sentence="8 of 9 go on"
    ).write(root / "model_run")
    measured = MeasuredTask(candidate=METRICS)
    Measurements(
        split="test",
        num_examples=30,
        seconds=1.0,
        compared={"click": measured},
        slices=(MeasuredSlice(column="device", value="tv", tasks={"click": measured}),),
    ).write(root / "evaluation")
    gate = {"task": "click", "metric": "auc", "value": 0.75, "low": 0.7, "high": 0.8}
    gate |= {"rule": "at least 0.6", "passed": True, "reason": "0.75 is at least 0.6"}
    Verdict(
        blessed=True, summary="all gates passed (1)", gates=(GateVerdict.model_validate(gate),)
    ).write(root / "evaluation")
    ServingReport(checks=(Check(name="loading", passed=True, detail=""),)).write(root / "check")
    stages = [
        ingested(root),
        FinishedStage("DayMonitor", cached=True, changes=Artifact(root / "changes")),
        FinishedStage("Trainer", 10.0004, model_run=Artifact(root / "model_run")),
        FinishedStage("TaskEvaluator", 0.5, evaluation=Artifact(root / "evaluation")),
        FinishedStage("ServingCheck", blessing=Artifact(root / "check")),
        FinishedStage(
            "ModelPusher",
            pushed_model=Artifact(
                "/elsewhere", pushed=1, pushed_version="7", pushed_destination="/serving/7"
            ),
        ),
    ]
    write_alerts(record, None, root)
    assert json.loads((root / "alerts.json").read_text()) == {
        "name": "feed",
        "run": "now",
        "now": None,
        "judged": 0,
        "note": "the run did not come to DayMonitor",
        "alerts": [],
    }
    for stage in stages:
        add_stage(record, stage, root)
        print_stage(terminal, record, stage.seconds)
    add_outcome(record, {stage.name: stage for stage in stages})
    print_outcome(terminal, record, RunPaths(root, "feed"), {"click": 0.9}, 12.4)
    assert [line.rstrip() for line in terminal.export_text().splitlines()] == [
        "  LogExampleGen        2.0s         120 rows          60 rows/s",
        "    log of 2026-01-01 to 2026-01-02",
        "    3 rows left out (3 not_json), kept in root/quarantine",
        "  DayMonitor         reused",
        f"    alert {CHANGE.sentence}",
        "  Trainer             10.0s",
        "    8 of 9 go on",
        "  TaskEvaluator        0.5s          30 rows          60 rows/s",
        "  ServingCheck         2.0s",
        "  ModelPusher          2.0s",
        "",
        "task   rows   rate     AUC    best  calibration  MAE",
        "click    30  10.0%  0.7500  0.9000        1.020",
        "",
        "metric     slice  candidate  baseline  difference  interval          "
        "rule          verdict",
        "click auc            0.7500                        0.7000 to 0.8000  at least 0.6  passed",
        "",
        "BLESSED (all gates passed (1)): version 7 is served from root/serving/feed",
        "12 s; figures in root/last_run.json, log in root/logs/now.log",
    ]
    content = json.loads(record.model_dump_json())
    assert content["stages"][2] == {
        "name": "Trainer",
        "seconds": 10.0,
        "cached": False,
        "rows": None,
    }
    assert content["bad_rows"]["reasons"] == {"not_json": 3}
    assert content["artifacts"]["LogExampleGen.examples"] == "artifacts/examples/1"
    assert content["artifacts"]["ModelPusher.pushed_model"] == "/elsewhere"
    assert content["training"] == str(root / "model_run" / "training.json")
    assert content["metrics"]["click"]["values"]["auc"] == 0.75
    (part,) = content["slices"]
    assert (part["column"], part["value"], list(part["tasks"])) == ("device", "tv", ["click"])
    assert part["tasks"]["click"]["num_examples"] == 30
    assert content["serving_check"] == {
        "checks": [{"name": "loading", "passed": True, "detail": ""}],
        "latency": [],
        "facts": {},
        "summary": "every check passed",
    }
    assert (content["exit_code"], content["pushed_version"]) == (0, 7)
    assert content["pushed_path"] == "/serving/7"
    told = json.loads((root / "alerts.json").read_text())
    assert told["alerts"] == content["alerts"]
    assert told["judged"] == 2
    (alert,) = told["alerts"]
    assert list(alert)[:2] == ["column", "signal"]


def test_columns_with_new_terms_have_a_line(tmp_path):
    metrics = {"new": METRICS.model_copy(update={"num_examples": 1234}), "known": METRICS}
    undefined = METRICS.model_copy(update={"values": {"auc": None}})
    record = RunRecord(
        name="feed",
        started="now",
        metrics={"click": METRICS},
        slices=(
            SliceMetrics(column="device", value="new", tasks={"click": METRICS}),
            *(
                SliceMetrics(column="terms_of_user", value=value, tasks={"click": task})
                for value, task in metrics.items()
            ),
            SliceMetrics(column="terms_of_[i]", value="new", tasks={"click": undefined}),
        ),
    )
    terminal = Console(width=160, highlight=False, record=True, file=io.StringIO())
    print_outcome(terminal, record, RunPaths(tmp_path, "feed"), {}, 1.0)
    lines = [line.rstrip() for line in terminal.export_text().splitlines()]
    assert lines[2:6] == [
        "click    30  10.0%  0.7500        1.020",
        "user: new 1,234 rows, click AUC 0.7500; known 30 rows, click AUC 0.7500",
        "[i]: new 30 rows, click AUC unknown",
        "",
    ]


def test_a_failure_names_its_stage_and_the_log(tmp_path, capsys):
    record = RunRecord(name="feed", started="now", log=str(tmp_path / "log"))
    print_failure(Console(highlight=False), record)
    record.failed_stage = "Trainer"
    print_failure(Console(highlight=False), record)
    assert capsys.readouterr().out.splitlines() == [
        f"  preparation        failed; log in {tmp_path / 'log'}",
        f"  Trainer            failed; log in {tmp_path / 'log'}",
    ]
