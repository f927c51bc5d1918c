"""Exported models on disk: the served version of a folder, and its description."""

from dataclasses import dataclass
from pathlib import Path

from taskroute.components.served import registry
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.serving import ModelInfo


@dataclass(frozen=True)
class ExportedModel:
    """SavedModel of taskroute; `version` is the name of its folder, 1 if that is no number."""

    folder: Path
    version: int
    info: ModelInfo


def find_model(folder: Path) -> ExportedModel:
    """Finds the model in `folder`: a SavedModel, or the served version of a serving folder.

    Raises:
        ConfigError: If there is none, or it was not exported by taskroute.
    """
    if not (folder / "saved_model.pb").is_file():
        pointer, versions = registry.latest(folder), registry.versions(folder)
        if not versions:
            raise ConfigError(
                f"{folder}: holds neither a SavedModel nor versions of one; give the folder that "
                "`taskroute run` names, such as runs/demo/serving/demo"
            )
        folder = folder / str(pointer.version if pointer else versions[-1])
    path = ModelInfo.path(folder)
    if not path.is_file():
        raise ConfigError(
            f"{folder}: lacks {ModelInfo.FILE}; only a model that `taskroute run` exported has it"
        )
    info = ModelInfo.find(folder)
    if info is None:
        raise ConfigError(f"{path}: cannot be understood; train again")
    name = folder.resolve().name
    return ExportedModel(folder, int(name) if name.isdecimal() else 1, info)
