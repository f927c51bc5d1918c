"""Search of `taskroute tune`: its parameters, its objective and its budget."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from taskroute.schemas.base import Config, Name
from taskroute.schemas.evaluation import Bound, Metric
from taskroute.schemas.field_paths import Location, locate, value_at, with_value

ConfigT = TypeVar("ConfigT", bound=BaseModel)

# Fields that may be tuned beside the trunk, the towers and the training. None of them changes the
# output of Transform, so that all trials read the same rows.
_TUNED_IN_LISTS = {
    "features": ("embedding_dim", "pooling"),
    "tasks": ("loss_weight", "loss", "huber_delta", "num_buckets", "smearing"),
}
_NOT_TUNED = {
    ("training", "seed"): "is no setting; `tuning.final_seeds` says how many are tried",
    ("training", "strategy"): "says which machines train; set it in `training`",
    ("training", "warm_start"): "is for `taskroute retrain`",
    ("trunk", "route"): "is found by a search of its own",
}


class Parameter(Config):
    """Values that one field may take: a range, or a list."""

    min: int | float | None = Field(None, description="Least value of a range.")
    max: int | float | None = Field(None, description="Greatest value of a range.")
    scale: Literal["linear", "log"] = Field(
        "linear",
        description="Scale of a range; log: equal factors are equally likely, as for rates.",
    )
    step: PositiveInt | PositiveFloat | None = Field(
        None, description="Step between the values of a linear range, from `min` on."
    )
    values: tuple[Any, ...] | None = Field(
        None, min_length=2, description="List of values; rising numbers are searched as numbers."
    )

    @model_validator(mode="after")
    def _is_a_range_or_a_list(self) -> Self:
        if self.values is not None:
            if (self.min, self.max, self.scale, self.step) != (None, None, "linear", None):
                raise ValueError("give either `values` or `min` and `max`")
            if any(value in self.values[:place] for place, value in enumerate(self.values)):
                raise ValueError("`values` must differ from each other")
            return self
        if self.min is None or self.max is None:
            raise ValueError("give `min` and `max`, or `values`")
        if self.min >= self.max:
            raise ValueError("`max` must be above `min`")
        if self.scale == "log" and self.min <= 0:
            raise ValueError("`min` must be above 0 on a log scale")
        if self.scale == "log" and self.step is not None:
            raise ValueError("`step` is for a linear range; give `values` instead")
        if self.step is not None and self.step > self.max - self.min:
            raise ValueError("`step` must fit between `min` and `max`")
        return self

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that stand for all: a field that allows them allows the rest."""
        if self.values is not None:
            return self.values
        second = () if self.step is None else (self.min + self.step,)  # type: ignore[operator]
        return (self.min, self.max, *second)


class Aim(Config):
    """A metric to improve."""

    task: Name = Field(description="Task of the metric.")
    metric: Metric | None = Field(
        None, description="Metric; by default auc of a binary task, xauc of a regression."
    )
    weight: PositiveFloat = Field(1.0, description="Weight among all aims; evens out their units.")


class Tuning(Config):
    """Search for settings, by trainings that are measured on the validation split."""

    parameters: dict[str, Parameter] = Field(
        min_length=1, description="Parameters by field path, such as `training.learning_rate`."
    )
    objective: tuple[Aim, ...] = Field(
        (),
        description="Metrics whose weighted mean is maximised; one of which less is better counts "
        "negative. Every task's by default.",
    )
    constraints: tuple[Bound, ...] = Field(
        (),
        description="Bounds that a chosen trial must meet; `may_lose`: against the present config.",
    )
    trials: int = Field(20, ge=2, description="Number of settings to try; the config's own first.")
    examples: PositiveInt | None = Field(
        None,
        description="Rows that all trainings together may read, those with further seeds included; "
        "a training that would go beyond, as long as the longest so far, is not begun.",
    )
    finalists: PositiveInt = Field(
        3, description="Number of best trials to train again, beside the config as it is."
    )
    final_seeds: int = Field(
        4, ge=2, description="Number of further seeds of each finalist; their mean decides."
    )
    seed: NonNegativeInt = Field(1, description="Seed of the search; trainings have their own.")


def with_values(config: ConfigT, values: Mapping[str, Any]) -> ConfigT:
    """Replaces values of a config, by path.

    Raises:
        ValidationError: If they, or all of them together, are not allowed.
    """
    content: Any = config.model_dump()
    for path, value in values.items():
        content = with_value(content, locate(content, path), value)
    return type(config).model_validate(content)


def current_values(config: BaseModel, paths: Iterable[str]) -> dict[str, Any]:
    """Values of a config at each path."""
    content = config.model_dump()
    return {path: value_at(content, locate(content, path)) for path in paths}


def takes_whole_numbers(config: BaseModel, path: str, parameter: Parameter) -> bool:
    """True if a range has whole ends and the field takes no other values."""
    if not all(isinstance(end, int) for end in parameter.ends):
        return False
    try:
        with_values(config, {path: parameter.ends[0] + 0.5})
    except ValidationError:
        return True
    return False


def check_parameters(parameters: Mapping[str, Parameter], config: BaseModel) -> None:
    """Refuses paths that lead nowhere or must not be tuned, and values that no field takes.

    Each value must be allowed beside the config as it is; what two of them do together shows when
    they are tried.

    Args:
        parameters: Parameters by path.
        config: Config that has the fields.

    Raises:
        ValueError: If one is wrong; names its path in the config and what to do.
    """
    content = config.model_dump()
    paths: dict[Location, str] = {}
    for path, parameter in parameters.items():
        where = f"tuning.parameters.{path}"
        try:
            location = locate(content, path)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        for other in _around(location, paths):
            raise ValueError(f"{where}: `{paths[other]}` changes it too; leave one of them out")
        paths[location] = path
        reason = _not_tuned(location, path)
        if reason:
            raise ValueError(f"{where}: {reason}")
        for value in parameter.ends:
            try:
                with_values(config, {path: value})
            except ValidationError as error:
                message = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise ValueError(f"{where}: {value!r} is refused: {message}") from None


def _around(location: Location, others: Mapping[Location, str]) -> Iterator[Location]:
    """Yields the locations among `others` that contain a location, or lie within it."""
    for other in others:
        shared = min(len(other), len(location))
        if other[:shared] == location[:shared]:
            yield other


def _not_tuned(location: Location, path: str) -> str:
    """Reason why a field must not be tuned; "" where it may be."""
    first, last = location[0], location[-1]
    if last == "kind" and len(location) > 1:
        whole = path.rpartition(".")[0]
        return f"decides which other fields there are; give `values` of the whole `{whole}` instead"
    for start, reason in _NOT_TUNED.items():
        if location[: len(start)] == start:
            return reason
    if first in _TUNED_IN_LISTS:
        names = _TUNED_IN_LISTS[str(first)]
        if len(location) < 3 or location[2] not in names:
            return f"decides what is read or measured; of {first}, tune {' or '.join(names)}"
        return ""
    if first not in ("trunk", "towers", "training"):
        return "is no part of what is learned; tune `trunk`, `towers`, `training` or what they hold"
    return ""
