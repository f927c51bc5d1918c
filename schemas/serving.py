"""How a trained ranker is served: its fused score, and the batch sizes it is made ready for."""

from pydantic import Field, PositiveInt, field_validator

from taskroute.schemas.base import Config, Name

# The output of every signature that holds the fused score, where there is one.
SCORE = "score"


class Serving(Config):
    """What the SavedModel holds beside one output a task."""

    score: dict[Name, float] = Field(
        default_factory=dict,
        description=(
            "Weights by task: the output `score` is the weighed sum of their predictions. No such "
            "output by default."
        ),
    )
    batch_sizes: tuple[PositiveInt, ...] = Field(
        (1, 64, 512),
        min_length=1,
        max_length=100,
        description=(
            "A model server runs each of them, in every signature, before it serves; they are "
            "what `batching_parameters.txt` allows. TensorFlow Serving takes 1,000 warm-up records."
        ),
    )

    @field_validator("batch_sizes")
    @classmethod
    def _sizes_rise(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if list(sizes) != sorted(set(sizes)):
            raise ValueError("must rise")
        return sizes


class ModelInfo(Config):
    """What an exported model says of itself: `assets.extra/model_info.json`.

    Its version is the name of its folder, which the push gives it.
    """

    name: Name
    config_digest: str = Field(description="Of all that decides the weights but the data.")
    data_span: tuple[str, str] | None = Field(
        description="First and last span of the log, where it has spans."
    )
    num_rows: dict[str, int] = Field(description="By split.")
    binary_tasks: tuple[Name, ...]
    regression_tasks: tuple[Name, ...]
    score: dict[Name, float]
    batch_sizes: tuple[PositiveInt, ...]


class RawExamples(Config):
    """Raw examples that warm-up requests are made of, and where they come from."""

    patterns: tuple[str, ...] = Field(description="Of gzipped TFRecord files.")
    span: tuple[str, str] | None = Field(None, description="First and last.")
    num_rows: dict[str, int] = Field(default_factory=dict, description="By split.")
