"""Files of a warm start: the state of a trained model, and the outcome of restoring it."""

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
    """Record of the model, stored beside its vocabularies and a checkpoint of its variables.

    Configs are texts, because a config of another version may not be valid in this one.
    """

    FILE: ClassVar[str] = "record.json"
    REMEDY: ClassVar[str] = "train again"

    config: str = Field(description="ModelConfig of the run, as JSON.")
    trained: str = Field(description="ModelConfig with the route from the search, as JSON.")
    serving: str = Field(description="Serving config of the export, as JSON.")
    data_span: tuple[str, str] | None = Field(description="First and last span of the log.")
    num_ids: dict[Name, int] = Field(description="Number of ids, by feature.")
    boundaries: dict[Name, tuple[float, ...]] = Field(description="Bucket boundaries, by feature.")

    def matches(self, config: ModelConfig, serving: Serving) -> bool:
        """Whether the model was trained with these settings, written by any version."""
        try:
            given = ModelConfig.model_validate_json(self.config)
            return (given, Serving.model_validate_json(self.serving)) == (config, serving)
        except ValidationError:
            return False


class WarmStartOutcome(Record):
    """Counts of a warm start, stored in the training's folder; all other weights are fresh.

    Attributes:
        rows: Rows of embedding tables.
        rows_taken: Number of rows restored from the old model.
        weights: Weights other than tables.
        weights_taken: Number of weights restored from the old model.
        reasons: Reasons why some were not.
        sentence: Summary in a sentence.
    """

    FILE: ClassVar[str] = "warm_start.json"

    rows: NonNegativeInt
    rows_taken: NonNegativeInt
    weights: NonNegativeInt
    weights_taken: NonNegativeInt
    reasons: tuple[str, ...]
    sentence: str
