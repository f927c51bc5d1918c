"""The whole DAG on one screen."""

from collections.abc import Iterable
from pathlib import Path

from tfx.components import ExampleValidator
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.pipeline import Pipeline
from tfx.types.channel import union

from taskroute.components.anomaly_gate.component import AnomalyGate
from taskroute.components.architecture_search.component import ArchitectureSearch
from taskroute.components.change_gate.component import ChangeGate
from taskroute.components.day_monitor.component import DayMonitor
from taskroute.components.log_example_gen.component import LogExampleGen
from taskroute.components.log_schema_gen.component import LogSchemaGen
from taskroute.components.model_pusher.component import ModelPusher
from taskroute.components.served import registry
from taskroute.components.served.check import contract_of
from taskroute.components.served.request_columns import with_served_columns
from taskroute.components.serving_check.component import ServingCheck
from taskroute.components.serving_check.infra_validator import make_infra_validator
from taskroute.components.statistics_gen.component import StatisticsGen
from taskroute.components.task_evaluator.component import TaskEvaluator
from taskroute.components.trainer.component import Trainer
from taskroute.components.transform.component import Transform
from taskroute.pipeline.dag.digest import code_digest, dotted_names
from taskroute.pipeline.dag.metadata import connection
from taskroute.pipeline.run.paths import RunPaths
from taskroute.schemas.columns import raw_columns
from taskroute.schemas.recommender import DataConfig, ModelConfig, RecommenderConfig
from taskroute.schemas.source import Source

# Functions that stages call by name: components do not import models.
PREPROCESSING_FN = "taskroute.models.preprocessing.preprocessing_fn"
SEARCH_FN = "taskroute.models.architecture_search.search_fn"
RUN_FN = "taskroute.models.trainer.run_fn"


def create_pipeline(
    config: RecommenderConfig,
    source: Source,
    data_fingerprint: str,
    paths: RunPaths,
    *,
    warm_start: bool = False,
    last: str | None = None,
) -> Pipeline:
    """Makes the pipeline for this machine.

    Args:
        config: Config of the ranker.
        source: Source of the config, with absolute paths.
        data_fingerprint: Digest that changes when the log does.
        paths: Folders of artifacts, metadata and served models.
        warm_start: True to train on from the served version.
        last: Name of the last stage to run; None runs all.
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
    """Wires the stages, for any runner.

    Args:
        config: Config of the ranker.
        source: Source of the config, with absolute paths.
        data_fingerprint: Digest that changes when the log does; "" where nothing is cached.
        paths: Folders of served models and checkpoints, as the stages see them.
        warm_start: True to train on from the served version.

    Returns:
        Stages, each after the stages that it needs.
    """
    data, model_config, serving = (
        config.part(DataConfig),
        config.part(ModelConfig),
        str(paths.serving),
    )
    # Examples also hold what only the served version reads: it is measured as it serves. Here
    # its columns are a key of the cache; elsewhere the serving folder is there when the step runs.
    is_here = data_fingerprint != ""
    columns = raw_columns(config)
    log = LogExampleGen(
        source=source,
        columns=with_served_columns(columns, serving) if is_here else columns,
        tasks=config.tasks,
        serving="" if is_here else serving,
    )
    examples = log.outputs["examples"]
    schema_gen = LogSchemaGen(data=data.model_dump_json())
    schema = schema_gen.outputs["schema"]
    statistics_gen = StatisticsGen(examples=examples)
    statistics = statistics_gen.outputs["statistics"]
    validator = ExampleValidator(statistics=statistics, schema=schema)
    anomaly_gate = AnomalyGate(anomalies=validator.outputs["anomalies"])
    transform = Transform(
        examples=examples, schema=schema, preprocessing_fn=PREPROCESSING_FN, data=data
    )
    transform.add_upstream_node(anomaly_gate)
    graph, transformed = (
        transform.outputs[key] for key in ("transform_graph", "transformed_examples")
    )
    monitor = DayMonitor(
        examples=examples,
        statistics=statistics,
        transform_graph=graph,
        data=data,
        monitoring=config.monitoring,
        group_key=config.evaluation.group_key,
        confidence=config.evaluation.confidence,
        # Without days there is no newest day to score with the served version.
        serving=serving if (source.window_days or 0) > 1 else "",
    )
    gates = []
    if any(signal != "skew" for _, signal in config.monitoring.stopping()):
        gates.append(ChangeGate(changes=monitor.outputs["changes"]))
    searches = []
    if config.trunk.needs_search:
        search = ArchitectureSearch(
            examples=transformed,
            transform_graph=graph,
            search_fn=SEARCH_FN,
            config=model_config.model_dump_json(),
            checkpoint_folder=str(paths.root / "search"),
        )
        searches.append(search)
    trainer = Trainer(
        run_fn=RUN_FN,
        examples=transformed,
        raw_examples=examples,
        transform_graph=graph,
        schema=schema,
        hyperparameters=searches[0].outputs["hyperparameters"] if searches else None,
        name=config.name,
        config=model_config,
        serving=config.serving,
        checkpoint_folder=str(paths.root / "training"),
        warm_start_from=serving if warm_start else None,
        separate_process=config.training.strategy != "one",
    )
    for gate in gates:
        (searches or [trainer])[0].add_upstream_node(gate)
    model = trainer.outputs["model"]
    evaluator = TaskEvaluator(
        examples=examples,
        model=model,
        transform_graph=graph,
        tasks=config.tasks,
        evaluation=config.evaluation,
        serving=serving,
        features=config.features,
    )
    checks = [ServingCheck(model=model, contract=contract_of(config))]
    if config.runtime.infra_validator is not None:
        checks.append(make_infra_validator(model, config.name, config.runtime.infra_validator))
    serves = [check.outputs["blessing"] for check in checks]
    pusher = ModelPusher(
        model=model,
        blessing=evaluator.outputs["blessing"],
        infra_blessing=union(serves) if len(serves) > 1 else serves[0],
        destination=serving,
        model_name=config.name,
        keep_versions=config.push.keep_versions,
    )
    # DayMonitor compares with the version that is served until then.
    pusher.add_upstream_node(monitor)
    stages = [log, schema_gen, statistics_gen, validator, anomaly_gate, transform, monitor]
    stages += [*gates, *searches, trainer, evaluator, *checks, pusher]
    _set_cache_keys(stages, data_fingerprint, paths.serving)
    return stages


def _set_cache_keys(stages: Iterable[BaseComponent], data_fingerprint: str, serving: Path) -> None:
    """Sets the properties that TFX's cache must see beside a stage's inputs and settings.

    `code_digest` changes with the modules that the stage runs: its executor, the functions that its
    properties name by dotted paths, and all modules that these import. `serving_state` changes with
    the served version, for stages that read the serving folder; `data_fingerprint` with the log.
    """
    pointer = registry.latest(serving)
    is_served = pointer is not None and pointer.version in registry.versions(serving)
    state = f"{pointer.version} {pointer.model_digest}" if pointer and is_served else "nothing"
    for stage in stages:
        executor = stage.executor_spec.executor_class.__module__
        if not executor.startswith("taskroute."):
            continue
        properties = stage.exec_properties
        text = " ".join(map(str, properties.values()))
        if str(serving) in text:
            properties["serving_state"] = state
        if isinstance(stage, LogExampleGen):
            properties["data_fingerprint"] = data_fingerprint
        properties["code_digest"] = code_digest(executor, *dotted_names(text))
