"""The whole DAG on one screen."""

from pathlib import Path

from tfx.components import ExampleValidator
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline

from taskroute.components.anomaly_gate import AnomalyGate
from taskroute.components.architecture_search.component import ArchitectureSearch
from taskroute.components.batch_statistics_gen.component import BatchStatisticsGen
from taskroute.components.feature_transform.component import FeatureTransform
from taskroute.components.log_example_gen.component import LogExampleGen
from taskroute.components.log_schema_gen import LogSchemaGen
from taskroute.components.model_pusher import registry
from taskroute.components.model_pusher.component import ModelPusher
from taskroute.components.ranker_trainer.component import RankerTrainer
from taskroute.components.serving_check.check import contract_of
from taskroute.components.serving_check.component import ServingCheck
from taskroute.components.task_evaluator.component import TaskEvaluator
from taskroute.components.task_evaluator.records import Baseline
from taskroute.pipeline.digest import code_digest
from taskroute.pipeline.paths import RunPaths
from taskroute.schemas.columns import raw_columns
from taskroute.schemas.recommender import DataConfig, ModelConfig, RecommenderConfig
from taskroute.schemas.source import Source
from taskroute.schemas.trunks import MtnasTrunk


def create_pipeline(
    config: RecommenderConfig, source: Source, data_fingerprint: str, paths: RunPaths
) -> Pipeline:
    """Wires the stages.

    Args:
        config: What to learn.
        source: The config's source with absolute paths.
        data_fingerprint: Changes when the log does.
        paths: Where artifacts, metadata and served models go.
    """
    schemas, models, components = "taskroute.schemas", "taskroute.models", "taskroute.components"
    data = config.part(DataConfig)
    example_files = (f"{components}.example_files", f"{components}.hashes")
    examples = LogExampleGen(
        source=source,
        columns=raw_columns(config),
        tasks=config.tasks,
        data_fingerprint=data_fingerprint,
        code_digest=code_digest(schemas, f"{components}.log_example_gen", *example_files),
    )
    schema = LogSchemaGen(data=data.model_dump_json())
    statistics = BatchStatisticsGen(
        examples=examples.outputs["examples"],
        data=data,
        code_digest=code_digest(schemas, f"{components}.batch_statistics_gen", *example_files),
    ).with_id("StatisticsGen")
    validator = ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    anomaly_gate = AnomalyGate(
        anomalies=validator.outputs["anomalies"],
        statistics=statistics.outputs["statistics"],
        schema=schema.outputs["schema"],
    )
    transform = FeatureTransform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn=f"{models}.preprocessing.preprocessing_fn",
        data=data,
        code_digest=code_digest(
            schemas,
            f"{models}.preprocessing",
            f"{components}.feature_transform",
            *example_files,
        ),
    ).with_id("Transform")
    transform.add_upstream_node(anomaly_gate)
    searches = []
    if isinstance(config.trunk, MtnasTrunk) and config.trunk.route is None:
        search = ArchitectureSearch(
            examples=transform.outputs["transformed_examples"],
            transform_graph=transform.outputs["transform_graph"],
            search_fn=f"{models}.architecture_search.search_fn",
            config=config.part(ModelConfig).model_dump_json(),
            checkpoint_folder=str(paths.root / "search"),
            code_digest=code_digest(schemas, models),
        )
        searches.append(search)
    trainer = RankerTrainer(
        run_fn=f"{models}.trainer.run_fn",
        examples=transform.outputs["transformed_examples"],
        raw_examples=examples.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        hyperparameters=searches[0].outputs["hyperparameters"] if searches else None,
        custom_config={
            "name": config.name,
            "config": config.part(ModelConfig).model_dump_json(),
            "serving": config.serving.model_dump_json(),
            "code_digest": code_digest(schemas, models),
        },
    ).with_id("Trainer")
    evaluator = TaskEvaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        transform_graph=transform.outputs["transform_graph"],
        tasks=config.tasks,
        evaluation=config.evaluation,
        baseline=_baseline(paths.serving),
        code_digest=code_digest(schemas, f"{components}.task_evaluator", f"{components}.hashes"),
    )
    serving_check = ServingCheck(
        model=trainer.outputs["model"],
        contract=contract_of(config),
        code_digest=code_digest(schemas, f"{components}.serving_check"),
    )
    pusher = ModelPusher(
        model=trainer.outputs["model"],
        blessing=evaluator.outputs["blessing"],
        infra_blessing=serving_check.outputs["blessing"],
        destination=str(paths.serving),
        model_name=config.name,
        keep_versions=config.push.keep_versions,
        serving_state=_serving_state(paths.serving),
        code_digest=code_digest(f"{components}.model_pusher"),
    )
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(paths.artifacts),
        metadata_connection_config=_sqlite(paths.metadata),
        components=[
            examples,
            schema,
            statistics,
            validator,
            anomaly_gate,
            transform,
            *searches,
            trainer,
            evaluator,
            serving_check,
            pusher,
        ],
        enable_cache=True,
        beam_pipeline_args=config.runtime.beam.pipeline_args(),
    )


def _baseline(serving: Path) -> Baseline | None:
    """The version that serves now; its digest makes TFX's cache see a change of it."""
    pointer = registry.latest(serving)
    if pointer is None:
        return None
    return Baseline(
        version=pointer.version,
        path=str(serving / pointer.path),
        model_digest=pointer.model_digest,
    )


def _serving_state(serving: Path) -> str:
    pointer = registry.latest(serving)
    if pointer is None or pointer.version not in registry.versions(serving):
        return "nothing"
    return f"{pointer.version} {pointer.model_digest}"


def _sqlite(path: Path) -> metadata.ConnectionConfigType:
    path.parent.mkdir(parents=True, exist_ok=True)
    return metadata.sqlite_metadata_connection_config(str(path))
