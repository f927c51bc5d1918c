"""Stages whose executors are called one after the other in this process, imports left out."""

from pathlib import Path
from typing import Any

from harness import Duration, timed

from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.types import Artifact

from taskroute.schemas.recommender import RecommenderConfig

BEAM_ARGS = ("--runner=FnApiRunner", "--sdk_container_image=local")


def own_stages(config: RecommenderConfig, log: str, root: Path) -> dict[str, BaseComponent]:
    """Stages of taskroute by name, as a run wires them.

    Args:
        config: Features, tasks and settings; its source may have any path.
        log: Absolute path or pattern of the log.
        root: Folder of served models, which may be empty.
    """
    # These import every stage, which a process that measures the memory of one must not.
    from taskroute.pipeline.dag.pipeline import create_stages
    from taskroute.pipeline.run.paths import RunPaths

    source = config.source.model_copy(update={"path": log})
    stages = create_stages(config, source, "", RunPaths(root, config.name))
    return {stage.id: stage for stage in stages}


class Chain:
    """Runs stages and hands their outputs on.

    Args:
        folder: Folder that gets the outputs, in a folder for each stage and key.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._made: dict[tuple[str, str], Artifact] = {}

    def give(self, stage: str, key: str, kind: type[Artifact], folder: Path) -> Artifact:
        """Lets a folder stand for an output of a stage that does not run."""
        artifact = kind()
        artifact.uri = str(folder)
        self._made[stage, key] = artifact
        return artifact

    def path(self, stage: str, key: str) -> Path:
        return self._folder / stage / key

    def run(self, stage: BaseComponent) -> Duration:
        """Calls `Do` of the stage's executor."""
        executor = stage.executor_spec.executor_class
        inputs = {
            key: [self._made[channel.producer_component_id, channel.output_key]]
            for key, channel in stage.inputs.items()
        }
        for key, channel in stage.outputs.items():
            folder = self.path(stage.id, key)
            folder.mkdir(parents=True)
            self.give(stage.id, key, channel.type, folder)
        outputs = {key: [self._made[stage.id, key]] for key in stage.outputs}
        is_beam = issubclass(executor, BaseBeamExecutor)
        arguments: dict[str, Any] = {"beam_pipeline_args": list(BEAM_ARGS)} if is_beam else {}
        context = executor.Context(**arguments)
        properties = {k: v for k, v in stage.exec_properties.items() if v is not None}
        return timed(executor(context).Do, inputs, outputs, properties)
