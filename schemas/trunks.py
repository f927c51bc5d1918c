"""Configs of trunks: all layers between the embeddings and the towers, shared between tasks.

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
        "relu", description="Activation of every layer; all the papers' trunks use ReLU."
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
        """Whether a search must find a route before the trunk can be trained."""
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
            "Starting factor of a task's own network; the other networks share the rest equally."
        ),
    )
    gate_learning_rate: PositiveFloat = Field(
        0.1,
        description="Learning rate of the factors; the paper takes 100 to 1000 times the weights'.",
    )


class ExpertLayer(Config):
    """Parallel experts of equal shape; `units` are the widths within each."""

    experts: PositiveInt = Field(8, description="Number of experts side by side.")
    units: Units = Field((64,), description="Widths of an expert's layers, bottom up.")


class MmoeTrunk(_Trunk):
    """Experts mixed for each task by a softmax gate on the input (Ma et al., KDD 2018).

    More than one layer is the ML-MMoE of Ma et al., AAAI 2019: an upper expert has a gate over the
    lower experts as a task does, and every gate reads the trunk's input.
    """

    kind: Literal["mmoe"] = "mmoe"
    layers: tuple[ExpertLayer, ...] = Field(
        (ExpertLayer(),), min_length=1, description="Layers, bottom up; both papers use 8 experts."
    )


class PleLevel(Config):
    """One level: experts of each task, and experts that all tasks share."""

    task_experts: PositiveInt = Field(
        2, description="Number of experts that each task has for itself."
    )
    shared_experts: PositiveInt = Field(2, description="Number of experts that all tasks share.")
    units: Units = Field((64,), description="Widths of an expert's layers, bottom up.")


class PleTrunk(_Trunk):
    """Progressive layered extraction (Tang et al., RecSys 2020); one level is CGC."""

    kind: Literal["ple"] = "ple"
    levels: tuple[PleLevel, ...] = Field(
        (PleLevel(), PleLevel()), min_length=1, description="Levels, bottom up."
    )


class SubNetworkLayer(Config):
    """A row of parallel sub-networks of equal width."""

    sub_networks: PositiveInt = Field(4, description="Number of sub-networks side by side.")
    units: PositiveInt = Field(32, description="Width of each sub-network.")


class _SnrTrunk(_Trunk):
    layers: tuple[SubNetworkLayer, ...] = Field(
        (SubNetworkLayer(), SubNetworkLayer()), min_length=1, description="Layers, bottom up."
    )
    l0_penalty: NonNegativeFloat = Field(
        0.5,
        description=(
            "Penalty for keeping every connection open, as a multiple of the loss of a model that "
            "predicts base rates; one connection costs this divided by their number, which is the "
            "paper's lambda. The default is ours: the paper's 1e-3 to 1e-5 fit its own loss only. "
            "Raise it by factors of 2 until open routes fall, and stop where a task's validation "
            "loss rises (docs/trunks.md). With 0 all connections stay open, and gates add noise "
            "only."
        ),
    )
    l0_warmup_steps: NonNegativeInt = Field(
        100,
        description=(
            "Steps over which the penalty grows from 0, so that the weights learn something before "
            "connections close; ours. Keep it below an epoch: early stopping may end a training "
            "after a few."
        ),
    )
    temperature: float = Field(
        2 / 3, gt=0, lt=1, description="Temperature of the gates, beta; the paper tries 0.5 to 0.9."
    )
    stretch: tuple[float, float] = Field(
        (-0.1, 1.1),
        description="Stretch of gates, gamma and zeta; the paper tries -1 to -0.1 and 1.1 to 2.",
    )
    log_alpha_start: float = Field(
        2.0, description="First value of every log-alpha; ours. 2 is a gate of 0.95 at inference."
    )
    gate_learning_rate: PositiveFloat = Field(
        0.05,
        description=(
            "Learning rate of log-alpha; ours: the paper has no rate of its own for it. A "
            "connection can close in about 100 steps; at 0.01 it takes 500, and early stopping may "
            "restore earlier weights."
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
        None, description="Width of each task's tower input; the last layer's `units` by default."
    )

    @property
    def task_width(self) -> int:
        return self.task_units or self.layers[-1].units


class SnrAverTrunk(_SnrTrunk):
    """Sub-network routing that sums the inputs of open connections (Ma et al., AAAI 2019)."""

    kind: Literal["snr_aver"] = "snr_aver"


class GumbelMatrixTrunk(_Trunk):
    """Experts allocated to tasks by a learned binary matrix (Maziarz et al., 2019).

    Start probability and temperatures default to the values of the authors' code.
    """

    kind: Literal["gumbel_matrix"] = "gumbel_matrix"
    layers: tuple[ExpertLayer, ...] = Field(
        (ExpertLayer(), ExpertLayer()), min_length=1, description="Layers, bottom up."
    )
    start_probability: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="First probability that a task uses an expert; 0.97 in the paper's Omniglot.",
    )
    temperature_start: PositiveFloat = Field(
        50.0, description="Gumbel softmax temperature at the first step; falls as 1 / sqrt(step)."
    )
    temperature_end: PositiveFloat = Field(0.5, description="Lowest temperature.")
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
        1.0, description="Loss added per task, times the share of experts beyond the budget."
    )
    gate_learning_rate: PositiveFloat = Field(
        0.02, description="Learning rate of the logits; the authors take 20 times the weights'."
    )

    @model_validator(mode="after")
    def _temperature_falls(self) -> "GumbelMatrixTrunk":
        if self.temperature_end > self.temperature_start:
            raise ValueError("`temperature_end` must not be above `temperature_start`")
        return self


class MtnasTrunk(_Trunk):
    """Sub-networks with a searched share route, trained anew (after Chen et al., WWW 2021).

    `layers` describes the supernet, `match_parameters` the network that is derived from a route.
    """

    kind: Literal["mtnas"] = "mtnas"
    layers: tuple[SubNetworkLayer, ...] = Field(
        (SubNetworkLayer(), SubNetworkLayer()), min_length=1, description="Layers, bottom up."
    )
    queries: tuple[Query, ...] = Field(
        ("input", "lower"),
        min_length=1,
        description="Queries of gates: the trunk's input, or the mean of the selected ones.",
    )
    route: ShareRoute | None = Field(
        None,
        description=(
            "Share route to train without a search. A config file gives the path of the route's "
            "JSON file, relative to the config's folder."
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
