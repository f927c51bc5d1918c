"""What an architecture search finds: which sub-networks feed which, and how that was decided."""

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

# What the gate of a block reads: the trunk's input, or the mean of the sub-networks it selects.
Query = Literal["input", "lower"]


class BlockRoute(Config):
    """What one block reads. A sub-network is named by layer and place: `1.2`, counted from 1."""

    block: str = Field(description="A sub-network above the first layer, or a task.")
    lower: tuple[str, ...] = Field(min_length=1, description="Sub-networks of the layer below.")
    query: Query = Field("input", description="Without effect where `lower` is a single one.")

    @model_validator(mode="after")
    def _lower_are_different(self) -> "BlockRoute":
        if len(set(self.lower)) != len(self.lower):
            raise ValueError(f"`lower` of block '{self.block}' must not repeat a sub-network")
        return self


class ShareRoute(Config):
    """The route of every block. It holds for sub-networks of any width."""

    tasks: tuple[str, ...] = Field(min_length=1, description="In the order of the config.")
    sub_networks: tuple[PositiveInt, ...] = Field(
        min_length=1, description="Their number in each layer, bottom up."
    )
    blocks: tuple[BlockRoute, ...] = Field(
        description="One for each sub-network above the first layer, then one for each task."
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
    """How probable each route of a block was at the end of the search."""

    block: str
    choices: tuple[BlockRoute, ...]
    probabilities: tuple[NonNegativeFloat, ...]


class NetworkCost(Config):
    """Trained scalars of a trunk, and its multiply-accumulates for one row."""

    parameters: NonNegativeInt
    macs: NonNegativeInt


class SearchStep(Config):
    """One policy step: means over the routes that were sampled for it, and since the last one."""

    step: NonNegativeInt = Field(description="Weight steps before it.")
    train_loss: FiniteFloat
    reward: FiniteFloat
    baseline: FiniteFloat
    entropy: NonNegativeFloat = Field(description="Mean over the blocks, 1 for uniform.")


class RandomControl(Config):
    """Random routes judged with the search's own weights, on the rows that judge its route."""

    num_routes: PositiveInt
    best_reward: FiniteFloat
    mean_reward: FiniteFloat
    best: ShareRoute


class SearchResult(Record):
    """Result of a search: the route, and how it was found."""

    FILE: ClassVar[str] = "route.json"

    route: ShareRoute
    policy: Literal["reinforce", "random"]
    reward: FiniteFloat = Field(description="Of the route, with the supernet's weights.")
    control: RandomControl | None = Field(None, description="None where the policy is random.")
    num_evaluations: NonNegativeInt = Field(description="Routes judged on validation rows.")
    probabilities: tuple[BlockChoices, ...]
    supernet: NetworkCost
    derived: NetworkCost
    seed: NonNegativeInt
    weight_steps: NonNegativeInt
    stopped_by: Literal["epochs", "max_steps", "max_seconds"]
    seconds: NonNegativeFloat = Field(description="Wall time, that of broken attempts included.")
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
    """Reads a route from a JSON file: what a search wrote, or the route alone.

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
    """For each block, the names of the layer below it."""
    below = []
    for layer, upper in enumerate([*counts[1:], len(tasks)], start=1):
        below += [_names(layer, counts[layer - 1])] * upper
    return below
