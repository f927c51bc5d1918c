"""Work before and after the trainings of an experiment: the root's lock, the log, the record."""

import os
import platform
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from taskroute.components.logs import spans
from taskroute.pipeline.experiments.keys import digest, digests_of
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.pipeline.inspection.check import check_log
from taskroute.pipeline.run.lock import locked
from taskroute.pipeline.run.paths import RunPaths, absolute_source
from taskroute.pipeline.run.quiet import quiet
from taskroute.pipeline.run.report import package_versions
from taskroute.pipeline.run.run import log_fingerprint
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.record import Record
from taskroute.schemas.source import SPLITS, Source

if TYPE_CHECKING:
    from tfx.orchestration.pipeline import Pipeline

    from taskroute.pipeline.dag.local_runner import StageRun

_LAST_STAGE = "Transform"


class ExperimentRecord(Record):
    """Record of an experiment; each adds its own results."""

    name: str
    confidence: float
    rows: dict[str, int]
    findings: tuple[str, ...]
    code_digest: str = ""
    data_digest: str = ""
    machine: str = ""
    versions: dict[str, str] = {}


@dataclass(frozen=True)
class Session:
    """A locked root, and its log made ready for trainings.

    Attributes:
        config: Config of the experiment.
        folder: Folder of the command's results.
        console: Console of the user; all other output goes to the log.
        data: Rows that all trainings read.
        rows: Number of rows of each split.
        digests: Digests of data and code (`keys.digests_of`).
    """

    config: RecommenderConfig
    folder: Path
    console: Console
    data: SharedData
    rows: Mapping[str, int]
    digests: Mapping[str, str]

    def facts(self) -> dict[str, Any]:
        """Fields of the record that do not depend on the trials."""
        return {
            "rows": dict(self.rows),
            "code_digest": self.digests["code"],
            "data_digest": self.digests["data"],
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
            "versions": package_versions(),
        }

    def say_files(self, names: str, started: float) -> None:
        """Prints the last line: seconds since `started`, and the place of the files."""
        where = os.path.relpath(self.folder)
        self.console.print(
            f"\n{time.monotonic() - started:.0f} s; {names} in "
            f"{self.folder if where.startswith('..') else where}",
            markup=False,
            soft_wrap=True,
        )


def check_request(command: str, config: RecommenderConfig, num_seeds: int | None) -> None:
    """Refuses requests that no experiment can serve.

    Args:
        command: Name of the command.
        config: Config of the experiment.
        num_seeds: Value of `--seeds`, if it was given.

    Raises:
        ConfigError: If one seed is to show a difference, or several machines are to train.
    """
    if num_seeds is not None and num_seeds < 2:
        raise ConfigError(
            f"--seeds: {num_seeds} cannot tell a difference from chance; give 2 or more"
        )
    if config.training.strategy == "multi_worker":
        raise ConfigError(
            f"training.strategy: {command} trains on one machine; give `one` or `mirrored`"
        )


@contextmanager
def session(
    command: str,
    config: RecommenderConfig,
    data_folder: Path,
    root: Path,
    *,
    heading: str,
    verbose: bool,
) -> Iterator[Session]:
    """Locks the root, and has the log ingested and transformed, once.

    Args:
        command: Name under which results and log lie, and of the package of experiments that holds
            the module `trials`.
        config: Config of the experiment.
        data_folder: Folder in which relative paths of the config's source start.
        root: The pipeline root, whose finished stages are reused.
        heading: Words behind the config's name, on the work that begins.
        verbose: Whether to let TensorFlow and Beam print.

    Raises:
        UserError: If the log cannot be used, or the root is in use.
    """
    check_log(config, data_folder)
    paths = RunPaths(root.resolve(), config.name)
    source = spans.resolve(absolute_source(config, data_folder))
    fingerprint = log_fingerprint(source)
    log = paths.logs / f"{command}-{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime())}.log"
    with locked(paths.lock), quiet(log, verbose=verbose) as console:
        try:
            console.print(f"[bold]{config.name}[/bold]  {heading}")
            data, rows = prepare(config, source, fingerprint, paths, console)
            counts = ", ".join(f"{count:,} {split}" for split, count in rows.items())
            console.print(f"  rows: {counts}")
            digests = digests_of(fingerprint, source.model_dump_json(), data.code_digest, command)
            yield Session(config, paths.root / command, console, data, rows, digests)
        except Exception:
            traceback.print_exc()  # into the log
            raise


def prepare(
    config: RecommenderConfig,
    source: Source,
    fingerprint: str,
    paths: RunPaths,
    console: Console,
) -> tuple[SharedData, dict[str, int]]:
    """Runs the pipeline's stages up to Transform; those that a run has finished are reused.

    Args:
        config: Config of the experiment.
        source: The config's source with absolute paths.
        fingerprint: Changes when the log does.
        paths: Paths of the pipeline root, which must be locked.
        console: Console that gets a line a stage.

    Returns:
        The data, and its number of rows by split.

    Raises:
        UserError: If the log cannot be used.
    """
    with console.status("loading TFX"):
        from taskroute.pipeline.dag.local_runner import run_stages
        from taskroute.pipeline.dag.pipeline import create_pipeline

        pipeline = create_pipeline(config, source, fingerprint, paths, last=_LAST_STAGE)
    status = console.status("")
    rows: dict[str, int] = {}

    def on_start(name: str) -> None:
        status.update(name)
        status.start()

    def on_finish(stage: "StageRun") -> None:
        status.stop()
        if stage.name == "LogExampleGen":
            (examples,) = stage.outputs["examples"]
            rows.update({s: examples.get_int_custom_property(f"num_rows_{s}") for s in SPLITS})
        took = "reused" if stage.cached else f"{stage.seconds:.1f}s"
        console.print(f"  {stage.name:<17}{took:>8}")

    try:
        stages = run_stages(pipeline, on_start, on_finish)
    finally:
        status.stop()

    def folder(stage: str, output: str) -> Path:
        return Path(stages[stage].outputs[output][0].uri)

    data = SharedData(
        transform_graph=folder(_LAST_STAGE, "transform_graph"),
        transformed=folder(_LAST_STAGE, "transformed_examples"),
        raw=folder("LogExampleGen", "examples"),
        code_digest=stages_digest(pipeline),
    )
    return data, rows


def stages_digest(pipeline: "Pipeline") -> str:
    """Digest of the code of the stages that prepare the data."""
    stages = pipeline.components
    return digest(*(stage.exec_properties.get("code_digest", "") for stage in stages))
