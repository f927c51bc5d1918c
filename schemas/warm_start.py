"""The files of a warm start: the state that a later training goes on from, and what it took."""

from typing import ClassVar

from pydantic import Field, NonNegativeInt, ValidationError

from taskroute.schemas.base import Name
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.record import Record
from taskroute.schemas.serving import Serving

# Beside the SavedModel within the model's artifact: no server reads it.
WARM_START_FOLDER = "WarmStart"

VARIABLES_FILE = "variables"


class WarmStartRecord(Record):
    """Record of the model; beside it lie the vocabularies and a TensorFlow checkpoint, variables.

    Texts, because a config of another version of this program may be no config of this one.
    """

    FILE: ClassVar[str] = "record.json"
    REMEDY: ClassVar[str] = "train again"

    config: str = Field(description="The ModelConfig that was given, as JSON.")
    trained: str = Field(description="The same, with the route that was found for its trunk.")
    serving: str = Field(description="The Serving that it was exported with, as JSON.")
    data_span: tuple[str, str] | None = Field(description="First and last span of the log.")
    num_ids: dict[Name, int] = Field(description="By feature that has ids.")
    boundaries: dict[Name, tuple[float, ...]] = Field(description="By bucket feature.")

    def is_of(self, config: ModelConfig, serving: Serving) -> bool:
        """Whether the model was trained with these settings, in the words of any version."""
        try:
            given = ModelConfig.model_validate_json(self.config)
            return (given, Serving.model_validate_json(self.serving)) == (config, serving)
        except ValidationError:
            return False


class WarmStartOutcome(Record):
    """Parts that a warm start took over, in the training's own folder; the rest is fresh.

    Attributes:
        rows: Rows of embedding tables.
        rows_taken: Number of them that have the values they had.
        weights: Weights other than tables.
        weights_taken: Number of them that were taken over.
        reasons: Reasons why not all.
        sentence: All of it in a sentence.
    """

    FILE: ClassVar[str] = "warm_start.json"

    rows: NonNegativeInt
    rows_taken: NonNegativeInt
    weights: NonNegativeInt
    weights_taken: NonNegativeInt
    reasons: tuple[str, ...]
    sentence: str
