"""Where a run reads and writes."""

from dataclasses import dataclass
from pathlib import Path

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
    def lock(self) -> Path:
        return self.root / ".lock"


def absolute_source(config: RecommenderConfig, data_folder: Path) -> Source:
    """The config's source with paths that no longer depend on the working folder."""
    source = config.source
    paths = {"path": str(data_folder.resolve() / source.path)}
    if source.test_path is not None:
        paths["test_path"] = str(data_folder.resolve() / source.test_path)
    return source.model_copy(update=paths)
