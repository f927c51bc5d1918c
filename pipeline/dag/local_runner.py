"""Runner of a pipeline on this machine, a stage at a time."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.dsl.compiler.compiler import Compiler
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.types import Artifact

from taskroute.pipeline.dag.leftovers import remove_leftovers


@dataclass(frozen=True)
class StageRun:
    """One finished stage, whether its result was reused, and its outputs."""

    name: str
    seconds: float
    cached: bool
    outputs: dict[str, list[Artifact]]

    def output(self, name: str) -> Artifact:
        """The artifact of an output that has one."""
        (artifact,) = self.outputs[name]
        return artifact


def run_stages(
    pipeline: Pipeline, on_start: Callable[[str], None], on_finish: Callable[[StageRun], None]
) -> dict[str, StageRun]:
    """Runs every stage in order, skipping those whose result is in the cache.

    Works as TFX's LocalDagRunner, but reports each stage, and first removes the leftovers of a
    killed run. The pipeline root must be locked.

    Args:
        pipeline: The DAG.
        on_start: Called with the name of a stage before it runs.
        on_finish: Called with its result.

    Returns:
        The stages by name.

    Raises:
        Exception: If a stage fails; its own error.
    """
    ir = Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(
        ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: datetime.now(UTC).isoformat()}
    )
    deployment = runner_utils.extract_local_deployment_config(ir)
    connection = pipeline.metadata_connection_config
    remove_leftovers(connection, Path(pipeline.pipeline_info.pipeline_root))
    finished = {}
    with _no_arguments():
        for node in (node.pipeline_node for node in ir.nodes):
            name = node.node_info.id
            on_start(name)
            start = time.perf_counter()
            execution = launcher.Launcher(
                pipeline_node=node,
                mlmd_connection=metadata.Metadata(connection),
                pipeline_info=ir.pipeline_info,
                pipeline_runtime_spec=ir.runtime_spec,
                executor_spec=runner_utils.extract_executor_spec(deployment, name),
                custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
            ).launch()
            with metadata.Metadata(connection) as handle:
                (record,) = handle.store.get_executions_by_id([execution.execution_id])
                # From MLMD: the launcher's own copies lack the properties that the executor set.
                outputs = execution_lib.get_output_artifacts(handle, execution.execution_id)
            stage = StageRun(
                name=name,
                seconds=time.perf_counter() - start,
                cached=record.last_known_state == metadata_store_pb2.Execution.CACHED,
                outputs=outputs,
            )
            finished[name] = stage
            on_finish(stage)
    return finished


@contextmanager
def _no_arguments() -> Iterator[None]:
    """Hides our command line, which TFX would pass on to Beam as flags."""
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = arguments
