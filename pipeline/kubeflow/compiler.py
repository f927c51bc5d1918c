"""The pipeline as open-source Kubeflow Pipelines 2.x reads it.

TFX writes the intermediate representation; this module adds retries, a default pipeline root,
volumes, secrets and node selectors, which TFX cannot express. No stage is cached: the first stage
chooses its data when it runs, and KFP would see the same arguments every night.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
    KubeflowV2DagRunner,
    KubeflowV2DagRunnerConfig,
)
from tfx.orchestration.pipeline import Pipeline

from taskroute.components.logs.log_files import is_remote
from taskroute.components.run_report.component import RunReport
from taskroute.pipeline.dag.digest import WHOLE_PRODUCT, code_digest
from taskroute.pipeline.dag.pipeline import create_stages
from taskroute.pipeline.kubeflow.entrypoint import SCHEMES
from taskroute.pipeline.kubeflow.platform_spec import make_platform_spec
from taskroute.pipeline.run.paths import RunPaths
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.kubeflow import Kubeflow, Step, Volume
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.source import Source
from taskroute.schemas.whole_files import write_whole

COMMAND = ("python", "-m", "taskroute.pipeline.kubeflow.entrypoint")

_BYTES = {"M": 1e6, "G": 1e9, "T": 1e12, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@dataclass(frozen=True)
class CompiledPipeline:
    """PipelineSpec and PlatformSpec, both as JSON."""

    pipeline_spec: dict[str, Any]
    platform_spec: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.pipeline_spec["pipelineInfo"]["name"])

    @property
    def pipeline_root(self) -> str:
        return str(self.pipeline_spec["defaultPipelineRoot"])

    def write(self, output: Path) -> None:
        """Writes a file whole: `.yaml` for KFP's page and client, `.json` for its REST API.

        YAML has a document for each spec; JSON one object with both, which is the field
        `pipeline_spec` of a run.

        Raises:
            ConfigError: If the name ends otherwise, or the file cannot be written.
        """
        specs = {"pipeline_spec": self.pipeline_spec, "platform_spec": self.platform_spec}
        if output.suffix in (".yaml", ".yml"):
            text = yaml.safe_dump_all(specs.values(), sort_keys=True)
        elif output.suffix == ".json":
            text = json.dumps(specs, indent=1, sort_keys=True) + "\n"
        else:
            raise ConfigError(f"{output}: must end in .yaml or .json")
        try:
            write_whole(output, text)
        except OSError as error:
            raise ConfigError(f"{output}: cannot be written: {error.strerror}") from None


def compile_pipeline(
    config: RecommenderConfig,
    image: str,
    pipeline_root: str,
    data: str | None = None,
    *,
    warm_start: bool = False,
) -> CompiledPipeline:
    """Compiles the config's pipeline.

    Args:
        config: Config of the pipeline; `runtime.kubeflow` has the settings of the stages.
        image: Image that holds this package; see Dockerfile.
        pipeline_root: URI of KFP's artifacts: gs://, s3:// or minio://.
        data: Start of the source's relative paths, as the stages see it: a URI, or a folder of the
            volume; the volume by default.
        warm_start: Whether a training goes on from the version that is served by then.

    Raises:
        ConfigError: If KFP or the stages could not work with that.
    """
    if not pipeline_root.startswith(tuple(SCHEMES)):
        raise ConfigError(
            f"--pipeline-root: '{pipeline_root}' must start with one of {', '.join(SCHEMES)}: "
            "KFP's launcher knows no other"
        )
    if config.runtime.infra_validator is not None:
        raise ConfigError(
            "runtime.infra_validator: TFX does not compile InfraValidator for Kubeflow Pipelines "
            "2.x; remove it: ServingCheck stays"
        )
    settings = config.runtime.kubeflow
    if settings.volume is None:
        raise ConfigError(
            "runtime.kubeflow.volume: is missing; name a persistent volume claim, as in "
            "`{claim: taskroute}`: served models must outlive the run"
        )
    root = Path(settings.volume.mount_path, config.name)
    source = _source_of_stages(config.source, data, settings.volume)
    stages = create_stages(config, source, "", RunPaths(root, config.name), warm_start=warm_start)
    stages.append(_report_stage(config, stages))
    _give_resources(stages, settings)
    job = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(
            default_image=image, default_commands=list(COMMAND), use_pipeline_spec_2_1=True
        )
    ).run(
        Pipeline(
            pipeline_name=_kubernetes_name(config.name),
            pipeline_root=pipeline_root,
            components=stages,
            enable_cache=False,
            beam_pipeline_args=config.runtime.beam.pipeline_args(),
        ),
        write_out=False,
    )
    spec = job["pipelineSpec"]
    spec["defaultPipelineRoot"] = pipeline_root
    for name, task in spec["root"]["dag"]["tasks"].items():
        retries = settings.step(name).retries
        if retries:
            task["retryPolicy"] = {
                "maxRetryCount": retries,
                "backoffDuration": "30s",
                "backoffFactor": 2.0,
            }
    return CompiledPipeline(spec, make_platform_spec(spec, settings))


def _report_stage(config: RecommenderConfig, stages: Iterable[BaseComponent]) -> BaseComponent:
    """Makes RunReport, which runs after all stages: no machine keeps a record of the run.

    A model that is not blessed is not pushed and stops no stage: its page is made, too.
    """
    outputs = {stage.id: stage.outputs for stage in stages}
    return RunReport(
        quarantine=outputs["LogExampleGen"]["quarantine"],
        statistics=outputs["StatisticsGen"]["statistics"],
        transform_graph=outputs["Transform"]["transform_graph"],
        changes=outputs["DayMonitor"]["changes"],
        model=outputs["Trainer"]["model"],
        model_run=outputs["Trainer"]["model_run"],
        evaluation=outputs["TaskEvaluator"]["evaluation"],
        infra_blessing=outputs["ServingCheck"]["blessing"],
        pushed_model=outputs["ModelPusher"]["pushed_model"],
        config=config.model_dump_json(exclude_unset=True),
        product_digest=code_digest(WHOLE_PRODUCT),
    )


def _source_of_stages(source: Source, data: str | None, volume: Volume) -> Source:
    start = (data or volume.mount_path).rstrip("/")

    def stage_path(field: str, path: str | None) -> str | None:
        if path is None or is_remote(path):
            return path
        path = f"{start}/{path}" if not path.startswith("/") else path
        if not is_remote(path) and not Path(path).is_relative_to(volume.mount_path):
            raise ConfigError(
                f"source.{field}: '{path}' is not in the volume at {volume.mount_path}, which is "
                "all that stages see of files; copy it there or give --data a URI"
            )
        return path

    return source.model_copy(
        update={
            "path": stage_path("path", source.path),
            "test_path": stage_path("test_path", source.test_path),
        }
    )


def _kubernetes_name(name: str) -> str:
    return name.lower().replace("_", "-").rstrip("-")


def _give_resources(stages: Iterable[BaseComponent], settings: Kubeflow) -> None:
    by_name = {stage.id: stage for stage in stages}
    for name in settings.steps:
        if name not in by_name:
            raise ConfigError(
                f"runtime.kubeflow.steps: there is no stage '{name}'; the stages are "
                f"{', '.join(by_name)}"
            )
    for name, stage in by_name.items():
        resources = _resources(settings.step(name))
        if resources.ByteSize():
            stage.with_platform_config(resources)


def _resources(step: Step) -> Any:
    """ResourceSpec of a step: limits, which Kubernetes takes for its requests, too.

    Each limit has two fields: newer servers read texts, older ones numbers.
    """
    container = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec
    resources = container.ResourceSpec()
    if step.cpu is not None:
        resources.cpu_limit = step.cpu
        resources.resource_cpu_limit = f"{step.cpu:g}"
    if step.memory is not None:
        number = step.memory.rstrip("MGTi")
        resources.memory_limit = int(number) * _BYTES[step.memory[len(number) :]] / 1e9
        resources.resource_memory_limit = step.memory
    if step.accelerator is not None:
        count = step.accelerator.count
        resources.accelerator.type = resources.accelerator.resource_type = step.accelerator.type
        resources.accelerator.count, resources.accelerator.resource_count = count, str(count)
    return resources
