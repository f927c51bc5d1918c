"""What lies beside an exported model so that a later training can go on from it."""

from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError

from taskroute.schemas.base import Config, Name
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.serving import Serving

# Beside the SavedModel within the model's artifact: no server reads it.
WARM_START_FOLDER = "WarmStart"

# In the training's own folder: what it started from.
WARM_STARTED_FILE = "warm_start.json"

RECORD_FILE = "record.json"
VARIABLES_FILE = "variables"


class WarmStartRecord(Config):
    """`WarmStart/record.json`. Beside it: the vocabularies, and a TensorFlow checkpoint, variables.

    Texts, because a config of another version of this program may be no config of this one.
    """

    config: str = Field(description="The ModelConfig that was given, as JSON.")
    trained: str = Field(description="The same, with the route that was found for its trunk.")
    serving: str = Field(description="The Serving that it was exported with, as JSON.")
    data_span: tuple[str, str] | None = Field(description="First and last span of the log.")
    num_ids: dict[Name, int] = Field(description="By feature that has ids.")
    boundaries: dict[Name, tuple[float, ...]] = Field(description="By bucket feature.")

    @classmethod
    def read(cls, folder: str | Path) -> Self | None:
        """The record in a folder; None where there is none that can be understood."""
        try:
            return cls.model_validate_json(Path(folder, RECORD_FILE).read_bytes())
        except (OSError, ValidationError):
            return None

    def is_of(self, config: ModelConfig, serving: Serving) -> bool:
        """Whether the model was trained with these settings, in the words of any version."""
        try:
            given = ModelConfig.model_validate_json(self.config)
            return (given, Serving.model_validate_json(self.serving)) == (config, serving)
        except ValidationError:
            return False
