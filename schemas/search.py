"""Steps, rewards and limits of an architecture search."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from taskroute.schemas.base import Config


class SearchConfig(Config):
    """Search for a share route; all defaults are ours, the paper's are not published.

    The supernet's weights learn on train rows, with newly sampled routes at each step; after every
    `weight_steps` steps the policy takes `policy_steps` on a batch of validation rows. The test
    split is not read.
    """

    policy: Literal["reinforce", "random"] = Field(
        "reinforce",
        description=(
            "Policy of the search. random is the control: uniform routes throughout, then the best "
            "of as many routes as reinforce would have judged."
        ),
    )
    reward: Literal["auc", "loss"] = Field(
        "auc", description="Reward: mean AUC of the binary tasks, or minus the training loss."
    )
    warmup_epochs: PositiveInt = Field(1, description="Passes over train with uniform routes.")
    epochs: PositiveInt = Field(4, description="Passes over train with the policy's routes.")
    weight_steps: PositiveInt = Field(8, description="Weight steps between two policy turns.")
    policy_steps: PositiveInt = Field(
        4, description="Policy steps in a turn, all on the same rows."
    )
    samples: int = Field(4, ge=2, description="Number of routes that a policy step judges.")
    batch_size: PositiveInt = Field(4096, description="Validation rows that judge a route.")
    learning_rate: PositiveFloat = Field(
        0.1, description="Learning rate of the policy's logits (Adam)."
    )
    baseline: Literal["batch", "moving_average"] = Field(
        "batch",
        description=(
            "Reference of a reward: the other routes' mean on the same rows, or the moving average "
            "of all rewards, which lets the chance of the rows count against a route."
        ),
    )
    baseline_momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of the moving average.")
    entropy_bonus: NonNegativeFloat = Field(
        1e-4, description="Reward for a policy that is still undecided, per nat and block."
    )
    macs_budget: PositiveInt | None = Field(
        None, description="Multiply-accumulates of a row that the trunk may use without a penalty."
    )
    macs_penalty: PositiveFloat = Field(
        0.1, description="Reward lost by a route that costs twice the budget."
    )
    max_steps: PositiveInt | None = Field(None, description="Weight steps after which to stop.")
    max_seconds: PositiveFloat | None = Field(None, description="Wall time after which to stop.")
    checkpoint_steps: PositiveInt = Field(
        200, description="Weight steps between two checkpoints, from which a killed search resumes."
    )
