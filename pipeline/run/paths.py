"""Paths of a run."""

from dataclasses import dataclass
from pathlib import Path

from taskroute.components.logs.log_files import is_remote
from taskroute.schemas.change_record import AlertFile, ServingAlertFile
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.run_record import RunRecord
from taskroute.schemas.source import Source


@dataclass(frozen=True)
class RunPaths:
    """Files and folders of one pipeline root."""

    root: Path
    name: str

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def metadata(self) -> Path:
        return self.root / "metadata.sqlite"

    @property
    def serving(self) -> Path:
        """Folder that a model server watches: one folder for each version."""
        return self.root / "serving" / self.name

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def last_run(self) -> Path:
        return RunRecord.path(self.root)

    @property
    def alerts(self) -> Path:
        """File of changes in the newest span, from the last run."""
        return AlertFile.path(self.root)

    @property
    def serving_alerts(self) -> Path:
        """File of changes in a serving log, from the last `taskroute monitor`."""
        return ServingAlertFile.path(self.root)

    @property
    def lock(self) -> Path:
        return self.root / ".lock"


def absolute_source(config: RecommenderConfig, data_folder: Path) -> Source:
    """Source of the config with paths that no longer depend on the working folder."""
    source = config.source
    paths = {"path": source.path, "test_path": source.test_path}
    absolute = {
        name: path if path is None or is_remote(path) else str(data_folder.resolve() / path)
        for name, path in paths.items()
    }
    return source.model_copy(update=absolute)
