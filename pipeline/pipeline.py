"""The whole DAG on one screen."""

from pathlib import Path

from tfx.components import ExampleValidator, StatisticsGen, Trainer, Transform
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2

from taskroute.components.anomaly_gate import AnomalyGate
from taskroute.components.architecture_search.component import ArchitectureSearch
from taskroute.components.log_example_gen.component import LogExampleGen
from taskroute.components.log_schema_gen import LogSchemaGen
from taskroute.components.model_pusher import registry
from taskroute.components.model_pusher.component import ModelPusher
from taskroute.components.task_evaluator.component import TaskEvaluator
from taskroute.pipeline.digest import code_digest
from taskroute.pipeline.paths import RunPaths
from taskroute.schemas.columns import raw_columns
from taskroute.schemas.recommender import DataConfig, ModelConfig, RecommenderConfig
from taskroute.schemas.source import Source
from taskroute.schemas.trunks import MtnasTrunk

# The default runner tries to download a binary first; without an image TFX packs itself up for
# every stage.
BEAM_ARGS = ("--runner=FnApiRunner", "--sdk_container_image=local")


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
    schemas, models = "taskroute.schemas", "taskroute.models"
    data = config.part(DataConfig).model_dump_json()
    examples = LogExampleGen(
        source=source,
        columns=raw_columns(config),
        tasks=config.tasks,
        data_fingerprint=data_fingerprint,
        code_digest=code_digest(schemas, "taskroute.components.log_example_gen"),
    )
    schema = LogSchemaGen(data=data)
    statistics = StatisticsGen(examples=examples.outputs["examples"])
    validator = ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    anomaly_gate = AnomalyGate(anomalies=validator.outputs["anomalies"])
    transform = Transform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn=f"{models}.preprocessing.preprocessing_fn",
        custom_config={
            "data": data,
            "code_digest": code_digest(schemas, f"{models}.preprocessing"),
        },
        disable_statistics=True,
        disable_analyzer_cache=True,
    )
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
    trainer = Trainer(
        run_fn=f"{models}.trainer.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        hyperparameters=searches[0].outputs["hyperparameters"] if searches else None,
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["validation"]),
        custom_config={
            "config": config.part(ModelConfig).model_dump_json(),
            "code_digest": code_digest(schemas, models),
        },
    )
    evaluator = TaskEvaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        transform_graph=transform.outputs["transform_graph"],
        tasks=config.tasks,
        gates=config.evaluation.gates,
        code_digest=code_digest(schemas, "taskroute.components.task_evaluator"),
    )
    pusher = ModelPusher(
        model=trainer.outputs["model"],
        blessing=evaluator.outputs["blessing"],
        destination=str(paths.serving),
        model_name=config.name,
        serving_state=_serving_state(paths.serving),
        code_digest=code_digest("taskroute.components.model_pusher"),
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
            pusher,
        ],
        enable_cache=True,
        beam_pipeline_args=list(BEAM_ARGS),
    )


def _serving_state(serving: Path) -> str:
    pointer = registry.latest(serving)
    if pointer is None or pointer.version not in registry.versions(serving):
        return "nothing"
    return f"{pointer.version} {pointer.model_digest}"


def _sqlite(path: Path) -> metadata.ConnectionConfigType:
    path.parent.mkdir(parents=True, exist_ok=True)
    return metadata.sqlite_metadata_connection_config(str(path))
