"""What a trunk is: all layers between the embeddings and the towers, and how tasks share them.

Sizes and penalties without a source are ours; every other default is its paper's.
"""

from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from taskroute.schemas.base import Config
from taskroute.schemas.routes import Query, ShareRoute
from taskroute.schemas.search import SearchConfig


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, int) else value


# The widths of an MLP's layers, bottom up; a single layer may be written as a number.
Units = Annotated[
    tuple[PositiveInt, ...], BeforeValidator(_one_or_more), Field(min_length=1, max_length=8)
]


class _Trunk(Config):
    activation: Literal["relu", "gelu", "swish", "tanh"] = Field(
        "relu", description="Of every layer; all the papers' trunks use ReLU."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of units dropped after each layer.")
    match_parameters: PositiveInt | None = Field(
        None,
        description=(
            "Scales every width by one factor so that the trunk's number of parameters comes as "
            "near as possible to this one, for comparisons between trunks of equal size."
        ),
    )

    @property
    def needs_search(self) -> bool:
        """Whether the trunk can be trained only with a route that a search has yet to find."""
        return False


class SingleTaskTrunk(_Trunk):
    """A network for each task: nothing is shared above the embeddings."""

    kind: Literal["single_task"] = "single_task"
    units: Units = Field((128, 64), description="Widths of each task's layers, bottom up.")


class SharedBottomTrunk(_Trunk):
    """One body for every task."""

    kind: Literal["shared_bottom"] = "shared_bottom"
    units: Units = Field((128, 64), description="Widths of the layers, bottom up.")


class CrossStitchTrunk(_Trunk):
    """A network for each task, mixed after every layer by learned factors (Misra et al., 2016)."""

    kind: Literal["cross_stitch"] = "cross_stitch"
    units: Units = Field((128, 64), description="Widths of each task's layers, bottom up.")
    own_start: float = Field(
        0.9,
        ge=0,
        le=1,
        description=(
            "Factor of a task's own network at the start, the rest in equal parts from the others."
        ),
    )
    gate_learning_rate: PositiveFloat = Field(
        0.1, description="Of the factors; the paper takes 100 to 1000 times that of the weights."
    )


class ExpertLayer(Config):
    """Parallel experts of equal shape; `units` are the widths within each."""

    experts: PositiveInt = Field(8, description="How many stand side by side.")
    units: Units = Field((64,), description="Widths of the layers within each, bottom up.")


class MmoeTrunk(_Trunk):
    """Experts mixed for each task by a softmax gate on the input (Ma et al., KDD 2018).

    More than one layer is the ML-MMoE of Ma et al., AAAI 2019: an upper expert has a gate over the
    lower experts as a task does, and every gate reads the trunk's input.
    """

    kind: Literal["mmoe"] = "mmoe"
    layers: tuple[ExpertLayer, ...] = Field(
        (ExpertLayer(),), min_length=1, description="Bottom up; both papers use 8 experts."
    )


class PleLevel(Config):
    """Experts of each task, and experts of all."""

    task_experts: PositiveInt = Field(2, description="Of each task.")
    shared_experts: PositiveInt = Field(2, description="Of all tasks.")
    units: Units = Field((64,), description="Widths of the layers within each, bottom up.")


class PleTrunk(_Trunk):
    """Progressive layered extraction (Tang et al., RecSys 2020); one level is CGC."""

    kind: Literal["ple"] = "ple"
    levels: tuple[PleLevel, ...] = Field(
        (PleLevel(), PleLevel()), min_length=1, description="Bottom up."
    )


class SubNetworkLayer(Config):
    """A row of parallel sub-networks of equal width."""

    sub_networks: PositiveInt = Field(4, description="How many stand side by side.")
    units: PositiveInt = Field(32, description="Width of each.")


class _SnrTrunk(_Trunk):
    layers: tuple[SubNetworkLayer, ...] = Field(
        (SubNetworkLayer(), SubNetworkLayer()), min_length=1, description="Bottom up."
    )
    l0_penalty: NonNegativeFloat = Field(
        0.5,
        description=(
            "What it costs to keep every connection open, as a multiple of the loss of a model "
            "that predicts base rates; one connection costs this divided by their number, which "
            "is the paper's lambda. Ours: the paper's 1e-3 to 1e-5 mean something beside its own "
            "loss only. Raise it by factors of 2 until open routes fall, and stop where a task's "
            "validation loss rises (docs/trunks.md); 0 keeps all open and only the noise of the "
            "gates is left."
        ),
    )
    l0_warmup_steps: NonNegativeInt = Field(
        100,
        description=(
            "Steps over which the penalty grows from 0, so that connections are judged after the "
            "weights have learned something; ours. Keep it below an epoch: validation may stop a "
            "training after a few."
        ),
    )
    temperature: float = Field(2 / 3, gt=0, lt=1, description="Beta; the paper tries 0.5 to 0.9.")
    stretch: tuple[float, float] = Field(
        (-0.1, 1.1),
        description="Gamma and zeta; the paper tries -1 to -0.1 and 1.1 to 2.",
    )
    log_alpha_start: float = Field(
        2.0, description="Ours: the paper does not say; 2 is 0.95 open at inference."
    )
    gate_learning_rate: PositiveFloat = Field(
        0.05,
        description=(
            "Of log-alpha; ours: the paper does not set it apart. A connection can close in about "
            "100 steps; at 0.01 it takes 500, and early stopping may return to weights of before."
        ),
    )

    @model_validator(mode="after")
    def _stretch_reaches_past_the_ends(self) -> "_SnrTrunk":
        left, right = self.stretch
        if left >= 0 or right <= 1:
            raise ValueError("`stretch` must start below 0 and end above 1")
        return self


class SnrTransTrunk(_SnrTrunk):
    """Sub-network routing with a transformation on every connection (Ma et al., AAAI 2019)."""

    kind: Literal["snr_trans"] = "snr_trans"
    task_units: PositiveInt | None = Field(
        None, description="Width of what a task receives; the last layer's `units` by default."
    )

    @property
    def task_width(self) -> int:
        return self.task_units or self.layers[-1].units


class SnrAverTrunk(_SnrTrunk):
    """Sub-network routing that sums what its open connections bring (Ma et al., AAAI 2019)."""

    kind: Literal["snr_aver"] = "snr_aver"


class GumbelMatrixTrunk(_Trunk):
    """Experts allocated to tasks by a learned binary matrix (Maziarz et al., 2019).

    The defaults of the start probability and the temperatures are those of the authors' code.
    """

    kind: Literal["gumbel_matrix"] = "gumbel_matrix"
    layers: tuple[ExpertLayer, ...] = Field(
        (ExpertLayer(), ExpertLayer()), min_length=1, description="Bottom up."
    )
    start_probability: float = Field(
        0.5, gt=0, lt=1, description="That a task uses an expert; 0.97 in the paper's Omniglot."
    )
    temperature_start: PositiveFloat = Field(
        50.0, description="Of the Gumbel softmax at the first step; it falls as 1 / sqrt(step)."
    )
    temperature_end: PositiveFloat = Field(0.5, description="Below which it does not fall.")
    budget: float | None = Field(
        None,
        gt=0,
        le=1,
        description=(
            "Share of all experts that a task may use without a penalty; none by default. The "
            "authors try 0.5 and 0.75."
        ),
    )
    budget_penalty: PositiveFloat = Field(
        1.0, description="Loss added for a task that uses every expert beyond a budget of none."
    )
    gate_learning_rate: PositiveFloat = Field(
        0.02, description="Of the logits; the authors take 20 times that of the weights."
    )

    @model_validator(mode="after")
    def _temperature_falls(self) -> "GumbelMatrixTrunk":
        if self.temperature_end > self.temperature_start:
            raise ValueError("`temperature_end` must not be above `temperature_start`")
        return self


class MtnasTrunk(_Trunk):
    """Sub-networks whose sharing is searched, then trained anew (after Chen et al., WWW 2021).

    `layers` are those of the supernet. `match_parameters` is for the network that a route leaves.
    """

    kind: Literal["mtnas"] = "mtnas"
    layers: tuple[SubNetworkLayer, ...] = Field(
        (SubNetworkLayer(), SubNetworkLayer()), min_length=1, description="Bottom up."
    )
    queries: tuple[Query, ...] = Field(
        ("input", "lower"),
        min_length=1,
        description="What a block's gate may read: the trunk's input, the mean of what it selects.",
    )
    route: ShareRoute | None = Field(
        None,
        description=(
            "No search, only training. A config file names the JSON file that holds the route, by "
            "a path that starts at the config's folder."
        ),
    )
    search: SearchConfig = SearchConfig()

    @property
    def needs_search(self) -> bool:
        return self.route is None

    @model_validator(mode="after")
    def _route_is_of_these_layers(self) -> "MtnasTrunk":
        counts = tuple(layer.sub_networks for layer in self.layers)
        if self.route is not None and self.route.sub_networks != counts:
            raise ValueError(
                f"`route` is of layers of {self.route.sub_networks} sub-networks, `layers` are of "
                f"{counts}"
            )
        return self


Trunk = Annotated[
    SingleTaskTrunk
    | SharedBottomTrunk
    | CrossStitchTrunk
    | MmoeTrunk
    | PleTrunk
    | SnrTransTrunk
    | SnrAverTrunk
    | GumbelMatrixTrunk
    | MtnasTrunk,
    Field(discriminator="kind"),
]
