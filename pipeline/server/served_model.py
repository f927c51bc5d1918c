"""Exported models on disk: which version of a folder serves, and what it says of itself."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from taskroute.components.served import registry
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.serving import ModelInfo

_INFO_FILE = "assets.extra/model_info.json"


@dataclass(frozen=True)
class ExportedModel:
    """A SavedModel of ours; `version` is the name of its folder, 1 where that is no number."""

    folder: Path
    version: int
    info: ModelInfo


def find_model(folder: Path) -> ExportedModel:
    """The model in `folder`: a SavedModel, or a serving folder, of which what it points to.

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
    try:
        info = ModelInfo.model_validate_json((folder / _INFO_FILE).read_bytes())
    except FileNotFoundError:
        raise ConfigError(
            f"{folder}: lacks {_INFO_FILE}; only a model that `taskroute run` exported has it"
        ) from None
    except ValidationError:
        raise ConfigError(f"{folder / _INFO_FILE}: cannot be understood; train again") from None
    name = folder.resolve().name
    return ExportedModel(folder, int(name) if name.isdecimal() else 1, info)
