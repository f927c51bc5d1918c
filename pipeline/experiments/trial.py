"""Trials: trainings with one seed each, and their results."""

from dataclasses import dataclass

from pydantic import Field

from taskroute.schemas.base import Config
from taskroute.schemas.recommender import ModelConfig


@dataclass(frozen=True)
class Trial:
    """Training to run.

    Attributes:
        name: Trials of one name differ in their seed alone, and take about as long.
        seed: Seed of the training.
        config: Model, with that seed.
        key: Changes with all that decides the result (`keys.trial_key`).
    """

    name: str
    seed: int
    config: ModelConfig
    key: str


class Cost(Config):
    """Trained scalars and multiply-accumulates of one row, as trained and as served."""

    trunk_parameters: int
    parameters: int
    macs: int
    served_parameters: int
    served_macs: int


class TrialResult(Config):
    """Result of a trial: one line of `trials.jsonl`, to which an experiment adds its own fields."""

    key: str = Field(description="Changes with all that decides the result.")
    seed: int
    epochs: int = 0
    best_epoch: int = Field(
        0, description="Epoch with the lowest validation loss; its weights were measured."
    )
    examples: int = Field(0, description="Rows of train that it read, those of every epoch.")
    seconds: float = 0.0
    metrics: dict[str, dict[str, float | None]] = Field(
        {}, description="Metrics by task; null where one is undefined."
    )
    problem: str = Field("", description="Reason of a trial without a result.")
