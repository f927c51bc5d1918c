"""RunReport: the page from artifacts alone, for a runner that keeps no `last_run.json`.

A run on this machine does not have this stage: `taskroute.pipeline.run.report` says why.
"""

from dataclasses import replace
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.artifact import Artifact
from tfx.types.standard_artifacts import (
    ExampleAnomalies,
    ExampleStatistics,
    InfraBlessing,
    Model,
    ModelEvaluation,
    ModelRun,
    PushedModel,
)

from taskroute.components.artifact_types import Quarantine
from taskroute.components.logs.bad_rows import REASONS
from taskroute.components.report.page import render
from taskroute.components.report.report_data import read_artifacts
from taskroute.schemas.recommender import RecommenderConfig

PAGE_FILE = "report.html"


class ReportPage(Artifact):
    """A folder that holds PAGE_FILE."""

    TYPE_NAME = "ReportPage"


@component
def RunReport(  # noqa: N802 - a component is named like a class
    quarantine: InputArtifact[Quarantine],
    statistics: InputArtifact[ExampleStatistics],
    changes: InputArtifact[ExampleAnomalies],
    model: InputArtifact[Model],
    model_run: InputArtifact[ModelRun],
    evaluation: InputArtifact[ModelEvaluation],
    infra_blessing: InputArtifact[InfraBlessing],
    pushed_model: InputArtifact[PushedModel],
    config: Parameter[str],
    code_digest: Parameter[str],
    report: OutputArtifact[ReportPage],
) -> None:
    """Writes the page of a run; times of stages are on the runner's own pages.

    Args:
        quarantine: LogExampleGen's.
        statistics: StatisticsGen's.
        changes: DayMonitor's.
        model: Trainer's.
        model_run: The same.
        evaluation: TaskEvaluator's.
        infra_blessing: ServingCheck's.
        pushed_model: ModelPusher's.
        config: A `RecommenderConfig` as JSON.
        code_digest: Of this package.
        report: Receives PAGE_FILE.
    """
    inputs = {
        "LogExampleGen.quarantine": quarantine,
        "StatisticsGen.statistics": statistics,
        "DayMonitor.changes": changes,
        "Trainer.model": model,
        "Trainer.model_run": model_run,
        "TaskEvaluator.evaluation": evaluation,
        "ServingCheck.blessing": infra_blessing,
    }
    folders = {name: artifact.uri for name, artifact in inputs.items()}
    data = read_artifacts(RecommenderConfig.model_validate_json(config), folders)
    counts: dict[str, int] = {
        reason: quarantine.get_int_custom_property(f"num_rows_{reason}")
        for reason in REASONS
        if quarantine.has_custom_property(f"num_rows_{reason}")
    }
    baseline = data.measurements.baseline if data.measurements else None
    serving = baseline.version if baseline else None
    pushed = None
    if pushed_model.get_int_custom_property("pushed"):
        serving = pushed = int(pushed_model.get_string_custom_property("pushed_version"))
    data = replace(
        data,
        bad_rows=counts,
        pushed_version=pushed,
        serving_version=serving,
        code_digest=code_digest,
    )
    folder = Path(report.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PAGE_FILE).write_text(render(data), encoding="utf-8")
