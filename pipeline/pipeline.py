"""The whole DAG on one screen."""

from pathlib import Path

from tfx.components import ExampleValidator
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.pipeline import Pipeline
from tfx.types.channel import union

from taskroute.components.anomaly_gate import AnomalyGate
from taskroute.components.architecture_search.component import ArchitectureSearch
from taskroute.components.batch_statistics_gen.component import BatchStatisticsGen
from taskroute.components.day_monitor.component import DayMonitor
from taskroute.components.feature_transform.component import FeatureTransform
from taskroute.components.log_example_gen.component import LogExampleGen
from taskroute.components.log_schema_gen import LogSchemaGen
from taskroute.components.model_pusher import registry
from taskroute.components.model_pusher.component import ModelPusher
from taskroute.components.ranker_trainer import apart
from taskroute.components.ranker_trainer.component import RankerTrainer
from taskroute.components.serving_check.check import contract_of
from taskroute.components.serving_check.component import ServingCheck
from taskroute.components.serving_check.infra_validator import make_infra_validator
from taskroute.components.task_evaluator.component import TaskEvaluator
from taskroute.pipeline.digest import code_digest
from taskroute.pipeline.metadata import connection
from taskroute.pipeline.paths import RunPaths
from taskroute.schemas.columns import raw_columns
from taskroute.schemas.recommender import DataConfig, ModelConfig, RecommenderConfig
from taskroute.schemas.source import Source
from taskroute.schemas.trunks import MtnasTrunk


def create_pipeline(
    config: RecommenderConfig,
    source: Source,
    data_fingerprint: str,
    paths: RunPaths,
    *,
    warm_start: bool = False,
    last: str | None = None,
) -> Pipeline:
    """The pipeline as this machine runs it.

    Args:
        config: What to learn.
        source: The config's source with absolute paths.
        data_fingerprint: Changes when the log does.
        paths: Where artifacts, metadata and served models go.
        warm_start: Whether the training goes on from the model that serves.
        last: The stage to end with; None takes all.
    """
    stages = create_stages(config, source, data_fingerprint, paths, warm_start=warm_start)
    if last is not None:
        stages = stages[: [stage.id for stage in stages].index(last) + 1]
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(paths.artifacts),
        metadata_connection_config=connection(config.runtime.metadata, paths.metadata),
        components=stages,
        enable_cache=True,
        beam_pipeline_args=config.runtime.beam.pipeline_args(),
    )


def create_stages(
    config: RecommenderConfig,
    source: Source,
    data_fingerprint: str,
    paths: RunPaths,
    *,
    warm_start: bool = False,
) -> list[BaseComponent]:
    """Wires the stages, whoever runs them.

    Args:
        config: What to learn.
        source: The config's source with absolute paths.
        data_fingerprint: Changes when the log does; "" where nothing is cached.
        paths: Where served models and checkpoints go, as the stages see it.
        warm_start: Whether the training goes on from the model that serves.

    Returns:
        The stages, each behind those that it needs.
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
    schema = LogSchemaGen(
        data=data.model_dump_json(),
        code_digest=code_digest(schemas, f"{components}.log_schema_gen"),
    )
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
        code_digest=code_digest(
            schemas, f"{components}.anomaly_gate", f"{components}.distribution_shift"
        ),
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
    # Of a log without days, nothing is asked of the model that serves.
    serving = str(paths.serving) if (source.window_days or 0) > 1 else ""
    monitor = DayMonitor(
        examples=examples.outputs["examples"],
        statistics=statistics.outputs["statistics"],
        transform_graph=transform.outputs["transform_graph"],
        data=data,
        monitoring=config.monitoring,
        group_key=config.evaluation.group_key,
        confidence=config.evaluation.confidence,
        serving=serving,
        serving_state=_serving_state(paths.serving) if serving else "",
        code_digest=code_digest(
            schemas,
            f"{components}.day_monitor",
            f"{components}.task_evaluator",
            f"{components}.log_example_gen.spans",
            f"{components}.log_example_gen.log_files",
            f"{components}.model_pusher.registry",
            *example_files,
        ),
    )
    searches = []
    if isinstance(config.trunk, MtnasTrunk) and config.trunk.route is None:
        search = ArchitectureSearch(
            examples=transform.outputs["transformed_examples"],
            transform_graph=transform.outputs["transform_graph"],
            search_fn=f"{models}.architecture_search.search_fn",
            config=config.part(ModelConfig).model_dump_json(),
            checkpoint_folder=str(paths.root / "search"),
            code_digest=code_digest(schemas, models, f"{components}.architecture_search"),
        )
        searches.append(search)
    going_on: dict[str, dict[str, str]] = {}
    if warm_start:
        going_on["warm_start"] = {
            "serving": str(paths.serving),
            "state": _serving_state(paths.serving),
        }
    run_fn = f"{models}.trainer.run_fn"
    if config.training.strategy != "one":
        # TensorFlow joins a cluster only in a process that has not run anything yet.
        job = str(paths.root / "training" / apart.JOB_FILE)
        going_on["apart"] = {"run_fn": run_fn, "job": job}
        run_fn = f"{apart.__name__}.run_fn"
    trainer = RankerTrainer(
        run_fn=run_fn,
        examples=transform.outputs["transformed_examples"],
        raw_examples=examples.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        hyperparameters=searches[0].outputs["hyperparameters"] if searches else None,
        custom_config={
            "name": config.name,
            "config": config.part(ModelConfig).model_dump_json(),
            "serving": config.serving.model_dump_json(),
            "code_digest": code_digest(
                schemas,
                models,
                f"{components}.ranker_trainer",
                f"{components}.model_pusher.registry",
            ),
            "checkpoint_folder": str(paths.root / "training"),
            **going_on,
        },
    ).with_id("Trainer")
    evaluator = TaskEvaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        transform_graph=transform.outputs["transform_graph"],
        tasks=config.tasks,
        evaluation=config.evaluation,
        serving=str(paths.serving),
        serving_state=_serving_state(paths.serving),
        code_digest=code_digest(
            schemas,
            f"{components}.task_evaluator",
            f"{components}.hashes",
            f"{components}.model_pusher.registry",
        ),
    )
    serving_check = ServingCheck(
        model=trainer.outputs["model"],
        contract=contract_of(config),
        code_digest=code_digest(schemas, f"{components}.serving_check"),
    )
    tried_in_server = []
    if config.runtime.infra_validator is not None:
        tried_in_server.append(
            make_infra_validator(
                trainer.outputs["model"], config.name, config.runtime.infra_validator
            )
        )
    serving_blessings = [stage.outputs["blessing"] for stage in (serving_check, *tried_in_server)]
    pusher = ModelPusher(
        model=trainer.outputs["model"],
        blessing=evaluator.outputs["blessing"],
        infra_blessing=union(serving_blessings) if tried_in_server else serving_blessings[0],
        destination=str(paths.serving),
        model_name=config.name,
        keep_versions=config.push.keep_versions,
        serving_state=_serving_state(paths.serving),
        code_digest=code_digest(schemas, f"{components}.model_pusher"),
    )
    # What serves until then is what the newest span is compared by.
    pusher.add_upstream_node(monitor)
    return [
        examples,
        schema,
        statistics,
        validator,
        anomaly_gate,
        transform,
        monitor,
        *searches,
        trainer,
        evaluator,
        serving_check,
        *tried_in_server,
        pusher,
    ]


def _serving_state(serving: Path) -> str:
    """Changes with the version that serves, so that TFX's cache sees it."""
    pointer = registry.latest(serving)
    if pointer is None or pointer.version not in registry.versions(serving):
        return "nothing"
    return f"{pointer.version} {pointer.model_digest}"
