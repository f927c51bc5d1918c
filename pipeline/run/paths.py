"""Where a run reads and writes."""

from dataclasses import dataclass
from pathlib import Path

from taskroute.components.logs.log_files import is_remote
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.source import Source


@dataclass(frozen=True)
class RunPaths:
    """The folders of one pipeline root."""

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
        """What a model server watches: a folder a version."""
        return self.root / "serving" / self.name

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def last_run(self) -> Path:
        return self.root / "last_run.json"

    @property
    def alerts(self) -> Path:
        """What changed in the newest span, as the last run found it."""
        return self.root / "alerts.json"

    @property
    def serving_alerts(self) -> Path:
        """What is other in a serving log, as the last `taskroute monitor` found it."""
        return self.root / "serving_alerts.json"

    @property
    def lock(self) -> Path:
        return self.root / ".lock"


def absolute_source(config: RecommenderConfig, data_folder: Path) -> Source:
    """The config's source with paths that no longer depend on the working folder."""
    source = config.source
    paths = {"path": source.path, "test_path": source.test_path}
    absolute = {
        name: path if path is None or is_remote(path) else str(data_folder.resolve() / path)
        for name, path in paths.items()
    }
    return source.model_copy(update=absolute)
