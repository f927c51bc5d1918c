"""RunReport: the page from artifacts alone."""

import json

from tfx.types import standard_artifacts

from taskroute.components.artifact_types import Quarantine, ReportPage
from taskroute.components.run_report.component import PAGE_FILE, RunReport
from taskroute.schemas.evaluation_record import Measurements, Verdict
from taskroute.schemas.findings import Finding, Findings

CONFIG = {
    "name": "feed",
    "source": {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}},
    "features": [{"name": "device", "kind": "categorical", "hash_buckets": 10}],
    "tasks": [{"name": "click", "label": {"column": "clicked"}}],
}
TRAINING = {
    "epochs": 1,
    "best_epoch": 1,
    "history": {"loss": [0.5], "val_loss": [0.6]},
    "cost": [],
    "served_cost": [],
    "routing": [{"name": "tasks", "upper": ["click"], "lower": ["1.1"], "values": [[1.0]]}],
    "guarded_tasks": [],
}


def test_artifacts_alone_make_a_page(tmp_path):
    kinds = {
        "quarantine": Quarantine,
        "statistics": standard_artifacts.ExampleStatistics,
        "transform_graph": standard_artifacts.TransformGraph,
        "changes": standard_artifacts.ExampleAnomalies,
        "model": standard_artifacts.Model,
        "model_run": standard_artifacts.ModelRun,
        "evaluation": standard_artifacts.ModelEvaluation,
        "infra_blessing": standard_artifacts.InfraBlessing,
        "pushed_model": standard_artifacts.PushedModel,
        "report": ReportPage,
    }
    artifacts = {}
    for name, kind in kinds.items():
        artifacts[name] = kind()
        artifacts[name].uri = str(tmp_path / name)
        if name != "report":
            (tmp_path / name).mkdir()
    artifacts["quarantine"].set_int_custom_property("num_rows_not_json", 7)
    artifacts["pushed_model"].set_int_custom_property("pushed", 1)
    artifacts["pushed_model"].set_string_custom_property("pushed_version", "3")
    nothing = {"now": None, "rows": {"all": 9}, "every": 1, "served_version": None}
    nothing |= {"note": "nothing was compared", "changes": [], "histograms": []}
    dead = Finding(kind="dead_feature", subject="device", sentence="feature 'device': is dead")
    Findings(findings=(dead,)).write(tmp_path / "transform_graph")
    (tmp_path / "changes" / "changes.json").write_text(json.dumps(nothing))
    (tmp_path / "model_run" / "training.json").write_text(json.dumps(TRAINING))
    (tmp_path / "infra_blessing" / "serving_check.json").write_text('{"checks": []}')
    measurements = Measurements(split="test", num_examples=1, seconds=1.0)
    verdict = Verdict(blessed=True, summary="no gates: blessed unconditionally", gates=())
    measurements.write(tmp_path / "evaluation")
    verdict.write(tmp_path / "evaluation")

    RunReport.test_call(config=json.dumps(CONFIG), product_digest="0123", **artifacts)
    html = (tmp_path / "report" / PAGE_FILE).read_text()
    assert "Blessed and pushed as version 3" in html
    assert "not_json" in html
    assert "is dead" in html
    assert "Learning curves" in html
    assert "Nothing was compared." in html
    assert '<section id="stages">' not in html
