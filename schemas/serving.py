"""Serving of a trained ranker: its scores, its precision and its batch sizes."""

from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from taskroute.schemas.base import Column, Config, Name
from taskroute.schemas.features import ColumnKind
from taskroute.schemas.record import Record

# The SavedModel in the artifact of a model, as TFX names it.
SAVED_MODEL_FOLDER = "Format-Serving"

# In a SavedModel, and beside the versions of a served one: what a server may batch.
BATCHING_FILE = "batching_parameters.txt"

# The output of every signature that holds the fused score, where there is one.
SCORE = "score"

CalibrationMethod = Literal["none", "platt", "isotonic"]
Embeddings = Literal["float32", "int8"]
Precision = Literal["float32", "bfloat16", "float16"]

# Largest difference, relative to 1, of a score between two ways to compute the same graph: the
# order of additions depends on the batch size, and a compiler may keep more bits in between.
_TOLERANCES: dict[Precision, float] = {"float32": 1e-5, "float16": 5e-3, "bfloat16": 4e-2}


class Calibration(Config):
    """Correction of the probabilities of binary tasks, after training, on validation."""

    method: CalibrationMethod = Field(
        "platt",
        description=(
            "platt: a line on the logit, 2 numbers a task. isotonic: a rising curve of up to 32 "
            "knots. Neither changes the ranking."
        ),
    )
    tasks: dict[Name, CalibrationMethod] = Field(
        default_factory=dict, description="Methods of binary tasks that have another."
    )

    @model_validator(mode="before")
    @classmethod
    def _method_alone(cls, value: Any) -> Any:
        """`calibration: platt` is short for `calibration: {method: platt}`."""
        return {"method": value} if isinstance(value, str) else value

    def method_of(self, task: str) -> CalibrationMethod:
        """Method that corrects the probabilities of a binary task."""
        return self.tasks.get(task, self.method)


class Serving(Config):
    """Contents of the SavedModel beside one output a task."""

    score: dict[Name, float] = Field(
        default_factory=dict,
        description=(
            "Weights by task: the output `score` is the weighted sum of their predictions. No "
            "such output by default."
        ),
    )
    calibration: Calibration = Calibration()
    embeddings: Embeddings = Field(
        "float32",
        description="Type of the tables; int8: a quarter of the bytes, one float32 scale a row.",
    )
    precision: Precision = Field(
        "float32",
        description="Precision of trunk and towers, for GPUs; all else stays float32.",
    )
    xla: bool = Field(
        False,
        description=(
            "Compiles trunk, towers and heads with XLA, anew for each batch size. TensorFlow "
            "Serving refuses such a model unless it is started with XLA on."
        ),
    )
    batch_sizes: tuple[PositiveInt, ...] = Field(
        (1, 64, 512),
        min_length=1,
        max_length=100,
        description=(
            "Batch sizes that `batching_parameters.txt` allows; a model server runs each of them, "
            "in every signature, before it serves. TensorFlow Serving takes 1,000 warm-up records."
        ),
    )

    @field_validator("batch_sizes")
    @classmethod
    def _sizes_rise(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if list(sizes) != sorted(set(sizes)):
            raise ValueError("must rise")
        return sizes

    @property
    def tolerance(self) -> float:
        """Largest difference of two ways to compute a score, relative to 1 or to the score."""
        return _TOLERANCES[self.precision]


class ScoreDifference(Config):
    """Difference between served scores and the trained model's, over the warm-up rows."""

    largest: float
    mean: float


class RequestColumn(Config):
    """A column of the log in a request.

    Attributes:
        name: Name in the log and in tf.Examples.
        input: Name of the input of `raw_features`.
        kind: Kind of its values.
        separator: Separator of the terms in the text of a list.
    """

    name: Column
    input: str
    kind: ColumnKind
    separator: str | None = None


class ModelInfo(Record):
    """Description of an exported model, in its SavedModel.

    Its version is the name of its folder, which the push gives it.
    """

    FILE: ClassVar[str] = "assets.extra/model_info.json"
    REMEDY: ClassVar[str] = "train again"

    name: Name
    config_digest: str = Field(description="Digest of all that decides the weights but the data.")
    data_span: tuple[str, str] | None = Field(
        description="First and last span of the log, where it has spans."
    )
    num_rows: dict[str, int] = Field(description="Rows by split.")
    binary_tasks: tuple[Name, ...] = Field(description="Outputs that are probabilities.")
    regression_tasks: tuple[Name, ...] = Field(description="Outputs in a label's own unit.")
    serving: Serving = Field(description="Serving part of the config.")
    columns: tuple[RequestColumn, ...] = Field(
        (), description="Columns of a request; none where the model is of version 0.1.0."
    )
    score_differences: dict[Name, ScoreDifference] = Field(
        {}, description="Score differences by output."
    )
    saved_bytes: int = Field(0, description="Bytes that int8 embedding tables save.")


class RawExamples(Config):
    """Raw examples that warm-up requests are made of, and where they come from."""

    patterns: tuple[str, ...] = Field(description="File patterns of Parquet files.")
    span: tuple[str, str] | None = Field(None, description="First and last span of the log.")
    num_rows: dict[str, int] = Field(default_factory=dict, description="Rows by split.")
