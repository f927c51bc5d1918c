"""How the ranker is fitted."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from taskroute.schemas.balance import Balance, FixedBalance
from taskroute.schemas.base import Config, Name


class NegativeSampling(Config):
    """Trains on a share of the rows whose label is 0, where these are most of the log.

    What is served and measured is the probability among all rows.
    """

    task: Name = Field(description="Binary: whose label it is. Rows that it leaves out all stay.")
    keep: float = Field(gt=0, lt=1, description="Share of these rows, drawn anew in each epoch.")


class ConstantSchedule(Config):
    """Learning rates as they are, after a linear warm-up."""

    kind: Literal["constant"] = "constant"
    warmup_steps: NonNegativeInt = Field(0, description="Batches over which they rise linearly.")


class CosineSchedule(Config):
    """Learning rates that rise linearly and fall along half a cosine."""

    kind: Literal["cosine"] = "cosine"
    warmup_steps: NonNegativeInt = Field(0, description="Batches over which they rise linearly.")
    decay_steps: PositiveInt = Field(description="Batches after the warm-up until the end.")
    end: float = Field(0.0, ge=0, le=1, description="Share of the learning rates that is left.")


class WarmStart(Config):
    """How `taskroute retrain` goes on from the model that serves."""

    optimizer: Literal["keep", "fresh"] = Field(
        "keep", description="Whether the optimizers' moments and accumulators are taken over, too."
    )


class Training(Config):
    """How the ranker is fitted."""

    batch_size: PositiveInt = Field(1024, description="Rows of a step, on all devices together.")
    epochs: PositiveInt = Field(10, description="At most; validation stops earlier.")
    patience: PositiveInt = Field(
        2, description="Epochs without a lower validation loss before training stops."
    )
    learning_rate: PositiveFloat = Field(1e-3, description="Of the dense weights (Adam).")
    embedding_learning_rate: PositiveFloat = Field(0.02, description="Of the tables (Adagrad).")
    schedule: Annotated[ConstantSchedule | CosineSchedule, Field(discriminator="kind")] = Field(
        ConstantSchedule(), description="By which all learning rates are multiplied."
    )
    balance: Balance = Field(
        FixedBalance(), description="How the tasks' losses become one step of the shared weights."
    )
    clip_norm: PositiveFloat | None = Field(
        None, description="Norm to which the gradients of all dense weights together are cut."
    )
    weight_decay: PositiveFloat | None = Field(
        None, description="Of dense kernels (AdamW); times the learning rate at each step."
    )
    embedding_l2: NonNegativeFloat = Field(
        0.0, description="Penalty on the squares of what a row reads from the tables."
    )
    negative_sampling: NegativeSampling | None = None
    seed: NonNegativeInt = Field(1, description="Of first weights, order of rows and noise.")
    warm_start: WarmStart = WarmStart()
    strategy: Literal["one", "mirrored", "multi_worker"] = Field(
        "one",
        description="One device, all GPUs of a machine, or all workers of `TF_CONFIG`; the rows of "
        "a batch are shared out to them.",
    )
    mixed_precision: bool = Field(
        False, description="bfloat16 between the embeddings and the heads; weights stay float32."
    )
    xla: bool = Field(False, description="Lets XLA compile the parts of a step that it can.")
