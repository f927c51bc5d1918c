"""`taskroute run`: the whole pipeline on this machine."""

import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from taskroute.components.logs import log_files, spans
from taskroute.pipeline.dag.digest import WHOLE_PRODUCT, code_digest
from taskroute.pipeline.run.console import print_failure, print_outcome, print_stage
from taskroute.pipeline.run.filling import add_outcome, add_stage, write_alerts
from taskroute.pipeline.run.lock import locked
from taskroute.pipeline.run.paths import RunPaths, absolute_source
from taskroute.pipeline.run.quiet import quiet
from taskroute.pipeline.run.report import package_versions, write_page
from taskroute.schemas.errors import UserError
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.run_record import RunRecord
from taskroute.schemas.source import Source


def run(
    config: RecommenderConfig,
    data_folder: Path,
    root: Path,
    *,
    verbose: bool = False,
    best_aucs: Mapping[str, float] | None = None,
    warm_start: bool = False,
) -> RunRecord:
    """Runs the pipeline; prints a line for each stage, a table of tasks and the path of the model.

    Args:
        config: The config to run.
        data_folder: Folder in which relative paths of the config's source start.
        root: The pipeline root: artifacts, metadata, logs and served models.
        verbose: Whether to let TensorFlow and Beam print.
        best_aucs: Highest AUC that any model can reach, by task, where it is known.
        warm_start: Whether the training goes on from the served version.

    Returns:
        Record of the run, also written to `last_run.json`; its `exit_code` is 0, 4 or 5.

    Raises:
        UserError: The reason that stopped the run; the record is written all the same.
    """
    paths = RunPaths(root.resolve(), config.name)
    started = datetime.now(UTC)
    log = paths.logs / f"{started:%Y-%m-%dT%H-%M-%S}.log"
    record = RunRecord(
        name=config.name,
        started=started.isoformat(timespec="seconds"),
        log=str(log),
        config=config.model_dump(mode="json", exclude_unset=True),
        code_digest=code_digest(WHOLE_PRODUCT),
        versions=package_versions(),
    )
    source = spans.resolve(absolute_source(config, data_folder))
    fingerprint = log_fingerprint(source)
    with locked(paths.lock), quiet(log, verbose=verbose) as console:
        start = time.perf_counter()
        write_alerts(record, None, paths.root)  # the existing file is of an older run
        try:
            _run_stages(config, source, fingerprint, paths, record, console, warm_start=warm_start)
        except Exception as error:
            traceback.print_exc()  # into the log
            print_failure(console, record)
            record.error = str(error) if isinstance(error, UserError) else repr(error)
            record.exit_code = getattr(error, "exit_code", 1)
            raise
        finally:
            _write_page(record, paths, console)
            record.write(paths.root)
        print_outcome(console, record, paths, best_aucs or {}, time.perf_counter() - start)
    return record


def log_fingerprint(source: Source) -> str:
    """Fingerprint of the files that `source` reads: changes when one of them does."""
    files = spans.files_of(source, spans.read_window(source))
    if source.test_path is not None:
        files = [*files, *log_files.list_files(source.test_path)]
    return log_files.fingerprint(files)


def _run_stages(
    config: RecommenderConfig,
    source: Source,
    fingerprint: str,
    paths: RunPaths,
    record: RunRecord,
    console: Console,
    *,
    warm_start: bool,
) -> None:
    with console.status("loading TFX"):
        from taskroute.pipeline.dag.local_runner import StageRun, run_stages
        from taskroute.pipeline.dag.pipeline import create_pipeline

        pipeline = create_pipeline(config, source, fingerprint, paths, warm_start=warm_start)
    status = console.status("")
    console.print(f"[bold]{config.name}[/bold]  {config.trunk.kind}, {len(config.tasks)} tasks")

    def on_start(name: str) -> None:
        record.failed_stage = name
        status.update(name)
        status.start()

    def on_finish(stage: StageRun) -> None:
        status.stop()
        add_stage(record, stage, paths.root)
        print_stage(console, record, stage.seconds)

    try:
        stages = run_stages(pipeline, on_start, on_finish)
    finally:
        status.stop()
    record.failed_stage = None
    add_outcome(record, stages)


def _write_page(record: RunRecord, paths: RunPaths, console: Console) -> None:
    """Writes the page; a failure does not change the run's outcome."""
    try:
        record.report = str(write_page(record, paths.root))
    except Exception as error:
        traceback.print_exc()  # into the log
        console.print(f"[yellow]no report could be made[/yellow]: {error!r}", soft_wrap=True)
