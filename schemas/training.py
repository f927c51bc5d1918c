"""Training of the ranker."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from taskroute.schemas.balance import Balance, FixedBalance
from taskroute.schemas.base import Config, Name


class NegativeSampling(Config):
    """Trains on a share of the rows whose label is 0, where these are most of the log.

    Served and measured probabilities are those among all rows.
    """

    task: Name = Field(
        description="Binary task of the label. Rows that it does not count all stay."
    )
    keep: float = Field(
        gt=0, lt=1, description="Share of these rows to keep, drawn anew in each epoch."
    )


class ConstantSchedule(Config):
    """Constant learning rates, after a linear warm-up."""

    kind: Literal["constant"] = "constant"
    warmup_steps: NonNegativeInt = Field(0, description="Batches of the linear rise.")


class CosineSchedule(Config):
    """Learning rates that rise linearly and fall along half a cosine."""

    kind: Literal["cosine"] = "cosine"
    warmup_steps: NonNegativeInt = Field(0, description="Batches of the linear rise.")
    decay_steps: PositiveInt = Field(description="Batches of the fall, after the warm-up.")
    end: float = Field(0.0, ge=0, le=1, description="Share of the learning rates at the end.")


class WarmStart(Config):
    """Start of `taskroute retrain` from the served version."""

    optimizer: Literal["keep", "fresh"] = Field(
        "keep", description="keep: the optimizers' moments and accumulators are taken over, too."
    )


class Training(Config):
    """Training of the ranker."""

    batch_size: PositiveInt = Field(1024, description="Rows of a step, on all devices together.")
    epochs: PositiveInt = Field(
        10, description="Largest number of epochs; validation may stop earlier."
    )
    patience: PositiveInt = Field(
        2, description="Epochs without a lower validation loss before training stops."
    )
    learning_rate: PositiveFloat = Field(
        1e-3, description="Learning rate of the dense weights (Adam)."
    )
    embedding_learning_rate: PositiveFloat = Field(
        0.02, description="Learning rate of the tables (Adagrad)."
    )
    schedule: Annotated[ConstantSchedule | CosineSchedule, Field(discriminator="kind")] = Field(
        ConstantSchedule(), description="Factor of all learning rates, by step."
    )
    balance: Balance = Field(
        FixedBalance(), description="Balance of the tasks' losses in a step of the shared weights."
    )
    clip_norm: PositiveFloat | None = Field(
        None, description="Largest norm of the gradients of all dense weights together."
    )
    weight_decay: PositiveFloat | None = Field(
        None, description="Decay of dense kernels (AdamW), times the learning rate at each step."
    )
    embedding_l2: NonNegativeFloat = Field(
        0.0, description="Penalty on the squares of the embeddings that a row reads."
    )
    negative_sampling: NegativeSampling | None = None
    oov_rate: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="Least share of a vocabulary's ids that are OOV while training: as many are "
        "dropped, anew in each epoch, so that terms never seen have a trained embedding.",
    )
    seed: NonNegativeInt = Field(1, description="Seed of first weights, order of rows and noise.")
    warm_start: WarmStart = WarmStart()
    strategy: Literal["one", "mirrored", "multi_worker"] = Field(
        "one",
        description="Devices: one, all GPUs of a machine, or all workers of `TF_CONFIG`, which "
        "share out the rows of a batch.",
    )
    mixed_precision: bool = Field(
        False, description="Computes in bfloat16 from embeddings to heads; weights stay float32."
    )
    xla: bool = Field(False, description="Lets XLA compile the parts of a step that it can.")
