"""RunReport: the page of a run, for a runner that keeps no `last_run.json`.

A run on this machine does not have this stage: see `taskroute.pipeline.run.report`.
"""

from dataclasses import replace
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import (
    ExampleAnomalies,
    ExampleStatistics,
    InfraBlessing,
    Model,
    ModelEvaluation,
    ModelRun,
    PushedModel,
    TransformGraph,
)

from taskroute.components.artifact_types import Quarantine, ReportPage
from taskroute.components.logs.bad_rows import rows_left_out
from taskroute.components.report.page import render
from taskroute.components.report.report_data import read_artifacts
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.whole_files import write_whole

PAGE_FILE = "report.html"


@component
def RunReport(  # noqa: N802 - a component is named like a class
    quarantine: InputArtifact[Quarantine],
    statistics: InputArtifact[ExampleStatistics],
    transform_graph: InputArtifact[TransformGraph],
    changes: InputArtifact[ExampleAnomalies],
    model: InputArtifact[Model],
    model_run: InputArtifact[ModelRun],
    evaluation: InputArtifact[ModelEvaluation],
    infra_blessing: InputArtifact[InfraBlessing],
    pushed_model: InputArtifact[PushedModel],
    config: Parameter[str],
    product_digest: Parameter[str],
    report: OutputArtifact[ReportPage],
) -> None:
    """Writes the page of a run, without times of stages: the runner's own pages show them.

    Args:
        quarantine: Bad rows of LogExampleGen.
        statistics: Output of StatisticsGen.
        transform_graph: Output of Transform, with its findings.
        changes: Output of DayMonitor.
        model: Output of Trainer.
        model_run: The Trainer's record.
        evaluation: Output of TaskEvaluator.
        infra_blessing: Output of ServingCheck.
        pushed_model: Output of ModelPusher.
        config: A `RecommenderConfig` as JSON.
        product_digest: Digest of this whole package, for the page.
        report: Output folder of PAGE_FILE.
    """
    inputs = {
        "LogExampleGen.quarantine": quarantine,
        "StatisticsGen.statistics": statistics,
        "Transform.transform_graph": transform_graph,
        "DayMonitor.changes": changes,
        "Trainer.model": model,
        "Trainer.model_run": model_run,
        "TaskEvaluator.evaluation": evaluation,
        "ServingCheck.blessing": infra_blessing,
    }
    folders = {name: artifact.uri for name, artifact in inputs.items()}
    data = read_artifacts(RecommenderConfig.model_validate_json(config), folders)
    baseline = data.measurements.baseline if data.measurements else None
    serving = baseline.version if baseline else None
    pushed = None
    if pushed_model.get_int_custom_property("pushed"):
        serving = pushed = int(pushed_model.get_string_custom_property("pushed_version"))
    data = replace(
        data,
        bad_rows=rows_left_out(quarantine).reasons,
        pushed_version=pushed,
        serving_version=serving,
        code_digest=product_digest,
    )
    write_whole(Path(report.uri, PAGE_FILE), render(data))
