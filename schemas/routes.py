"""Share routes, and the result file of an architecture search."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import (
    Field,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from taskroute.schemas.base import Config
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.record import Record

# Input of a block's gate: the trunk's input, or the mean of the sub-networks it selects.
Query = Literal["input", "lower"]


class BlockRoute(Config):
    """Route of one block. A sub-network is named by layer and place: `1.2`, counted from 1."""

    block: str = Field(description="Name of a sub-network above the first layer, or of a task.")
    lower: tuple[str, ...] = Field(min_length=1, description="Sub-networks of the layer below.")
    query: Query = Field(
        "input", description="Query of the gate; without effect where `lower` is a single one."
    )

    @model_validator(mode="after")
    def _lower_are_different(self) -> "BlockRoute":
        if len(set(self.lower)) != len(self.lower):
            raise ValueError(f"`lower` of block '{self.block}' must not repeat a sub-network")
        return self


class ShareRoute(Config):
    """Routes of all blocks, for sub-networks of any width."""

    tasks: tuple[str, ...] = Field(
        min_length=1, description="Names of the tasks, in the order of the config."
    )
    sub_networks: tuple[PositiveInt, ...] = Field(
        min_length=1, description="Number of sub-networks in each layer, bottom up."
    )
    blocks: tuple[BlockRoute, ...] = Field(
        description="Routes of the sub-networks above the first layer, then of the tasks."
    )

    @model_validator(mode="after")
    def _blocks_join_the_layers(self) -> "ShareRoute":
        counts = self.sub_networks
        expected = block_names(counts, self.tasks)
        if tuple(route.block for route in self.blocks) != expected:
            raise ValueError(f"`blocks` must be the routes of {', '.join(expected)}, in this order")
        for route, lower in zip(self.blocks, _names_below(counts, self.tasks), strict=True):
            for name in route.lower:
                if name not in lower:
                    raise ValueError(
                        f"block '{route.block}' reads '{name}', which is not in the layer below it"
                    )
        return self


class BlockChoices(Config):
    """Probability of each route of a block at the end of the search."""

    block: str
    choices: tuple[BlockRoute, ...]
    probabilities: tuple[NonNegativeFloat, ...]


class NetworkCost(Config):
    """Trained scalars of a trunk, and its multiply-accumulates for one row."""

    parameters: NonNegativeInt
    macs: NonNegativeInt


class SearchStep(Config):
    """One policy step: means over its sampled routes, and over the weight steps before it."""

    step: NonNegativeInt = Field(description="Number of weight steps before this policy step.")
    train_loss: FiniteFloat
    reward: FiniteFloat
    baseline: FiniteFloat
    entropy: NonNegativeFloat = Field(
        description="Mean relative entropy of the blocks, 1 for uniform."
    )


class RandomControl(Config):
    """Random routes judged with the supernet's weights, on the same rows as the result."""

    num_routes: PositiveInt
    best_reward: FiniteFloat
    mean_reward: FiniteFloat
    best: ShareRoute


class SearchResult(Record):
    """Result of a search: the route, the policy and the history behind it."""

    FILE: ClassVar[str] = "route.json"

    route: ShareRoute
    policy: Literal["reinforce", "random"]
    reward: FiniteFloat = Field(description="Reward of the route, with the supernet's weights.")
    control: RandomControl | None = Field(
        None, description="Control; None where the policy is random."
    )
    num_evaluations: NonNegativeInt = Field(
        description="Number of routes judged on validation rows."
    )
    probabilities: tuple[BlockChoices, ...]
    supernet: NetworkCost
    derived: NetworkCost
    seed: NonNegativeInt
    weight_steps: NonNegativeInt
    stopped_by: Literal["epochs", "max_steps", "max_seconds"]
    seconds: NonNegativeFloat = Field(description="Wall time, interrupted attempts included.")
    history: tuple[SearchStep, ...]


def block_names(counts: Sequence[int], tasks: Sequence[str]) -> tuple[str, ...]:
    """Names of the blocks of a network: `2.1`, `2.2`, ..., then the tasks.

    Args:
        counts: Sub-networks of each layer, bottom up.
        tasks: Names of the tasks.
    """
    layers = (_names(layer, count) for layer, count in enumerate(counts[1:], start=2))
    return tuple(name for names in (*layers, tuple(tasks)) for name in names)


def load_route(path: str | Path) -> ShareRoute:
    """Reads a route from a JSON file: a search's result, or the route alone.

    Raises:
        ConfigError: If the file cannot be read or holds no route.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    try:
        kind = SearchResult if '"history"' in text else ShareRoute
        loaded = kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path}: holds no route: {place}{': ' * bool(place)}{message}") from None
    return loaded.route if isinstance(loaded, SearchResult) else loaded


def _names(layer: int, count: int) -> tuple[str, ...]:
    return tuple(f"{layer}.{index}" for index in range(1, count + 1))


def _names_below(counts: Sequence[int], tasks: Sequence[str]) -> list[tuple[str, ...]]:
    """Names of the layer below each block."""
    below = []
    for layer, upper in enumerate([*counts[1:], len(tasks)], start=1):
        below += [_names(layer, counts[layer - 1])] * upper
    return below
