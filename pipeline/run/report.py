"""Page of a run on this machine.

`run` writes the page after the stages, and none of the stages does: the page shows their times and
the reason of a stop, and a stage that is skipped because nothing changed would leave the page of an
older run. A runner without `last_run.json` has the component RunReport, which makes the same page
from artifacts alone.
"""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from platform import python_version

from taskroute.components.report.importance import Importance
from taskroute.components.report.page import render
from taskroute.components.report.report_data import ReportData, read_artifacts
from taskroute.components.served import registry
from taskroute.pipeline.run.quiet import quiet
from taskroute.schemas.change_record import ServingAlertFile
from taskroute.schemas.errors import ConfigError, UserError
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.run_record import RunRecord
from taskroute.schemas.serving import SAVED_MODEL_FOLDER
from taskroute.schemas.whole_files import write_whole

_PACKAGES = ("taskroute", "tensorflow", "tf-keras", "tensorflow-transform", "tfx", "apache-beam")

# Artifact, and the folder in it: the model, the examples of the test split, the labels' graph.
_FOR_IMPORTANCE = (
    ("Trainer.model", SAVED_MODEL_FOLDER),
    ("LogExampleGen.examples", "Split-test"),
    ("Transform.transform_graph", ""),
)


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide a run's result."""
    return {"Python": python_version(), **{name: version(name) for name in _PACKAGES}}


def write_page(record: RunRecord, root: Path) -> Path:
    """Writes the page of a run.

    Args:
        record: The run's record.
        root: The pipeline root.

    Returns:
        The file: `reports/` and the time of the start.

    Raises:
        UserError: If an artifact cannot be understood, or the page cannot be written.
    """
    return _write(read_run(record, root), _page_path(record, root))


def report(run: Path, output: Path | None, importance_rows: int | None, repeats: int) -> Path:
    """Makes the page of the last run again.

    Args:
        run: A pipeline root, or its last_run.json.
        output: File of the page; the file of the run by default.
        importance_rows: Number of rows of the test split to measure permutation importance on; None
            shows the importance that an earlier call measured, if any.
        repeats: Number of permutations of each column.

    Returns:
        The file.

    Raises:
        UserError: If there is no run, or its artifacts cannot be understood or are gone.
    """
    path = RunRecord.path(run) if run.is_dir() else run
    try:
        record = RunRecord.model_validate_json(path.read_bytes())
        root = path.resolve().parent
        page = _page_path(record, root)
        data = read_run(record, root)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{error.filename}: is not there; give a pipeline root in which a run has ended"
        ) from None
    except ValueError:
        raise ConfigError(
            f"{path}: is not the record of a run of this version; run the pipeline again"
        ) from None
    if importance_rows is not None:
        data = replace(data, importance=_measure(record, root, data, importance_rows, repeats))
    return _write(data, output or page)


def read_run(record: RunRecord, root: Path) -> ReportData:
    """Reads the data of a run's page; see `write_page`."""
    config = RecommenderConfig.model_validate(record.config)
    data = read_artifacts(config, _folders(record, root))
    pointer = registry.latest(root / "serving" / config.name)
    serving_log = ServingAlertFile.find(root)
    if serving_log is not None and serving_log.run != record.started:
        serving_log = None
    importance = _importance_path(record, root)
    return replace(
        data,
        started=record.started,
        failed_stage=record.failed_stage,
        error=record.error,
        stages=record.stages,
        rows=record.rows,
        spans=record.spans,
        bad_rows=record.bad_rows.reasons,
        serving_changes=serving_log.changes if serving_log else (),
        importance=Importance.model_validate_json(importance.read_bytes())
        if importance.is_file()
        else None,
        pushed_version=record.pushed_version,
        serving_version=pointer.version if pointer else None,
        code_digest=record.code_digest,
        versions=record.versions,
    )


def _folders(record: RunRecord, root: Path) -> dict[str, str]:
    """Folders of artifacts; the record has paths relative to the root, so that it can be moved."""
    return {name: str(root / folder) for name, folder in record.artifacts.items()}


def _measure(
    record: RunRecord, root: Path, data: ReportData, num_rows: int, repeats: int
) -> Importance:
    folders = _folders(record, root)
    paths = []
    for output, inside in _FOR_IMPORTANCE:
        path = Path(folders.get(output, ""), inside)
        if output not in folders or not path.is_dir():
            raise UserError(
                f"{root}: the run left no {output}, which importance needs; run the pipeline again"
            )
        paths.append(path)
    with quiet(root / "logs" / "importance.log", verbose=False):
        from taskroute.components.report.exported_model import measure_importance

        importance = measure_importance(data.config, *paths, num_rows=num_rows, repeats=repeats)
    write_whole(_importance_path(record, root), importance.model_dump_json(indent=1) + "\n")
    return importance


def _page_path(record: RunRecord, root: Path) -> Path:
    # Named like the log of the run; some file systems allow no colon in a name.
    started = record.started.partition("+")[0].replace(":", "-")
    return root / "reports" / f"{started}.html"


def _importance_path(record: RunRecord, root: Path) -> Path:
    return _page_path(record, root).with_suffix(".importance.json")


def _write(data: ReportData, path: Path) -> Path:
    try:
        write_whole(path, render(data))
    except OSError as error:
        raise UserError(f"{path}: the report cannot be written: {error.strerror}") from None
    return path
