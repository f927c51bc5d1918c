"""What `taskroute tune` may change, what it looks for, and how much it may train for it."""

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

# What may be tuned beside the trunk, the towers and the training: nothing of it changes what
# Transform leaves, so that all trials read the same rows.
_OF_LISTS = {
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
    """The values that one field may take: a range, or a list of any that the field allows."""

    min: int | float | None = Field(None, description="The least value of a range.")
    max: int | float | None = Field(None, description="The greatest one.")
    scale: Literal["linear", "log"] = Field(
        "linear", description="log: each factor is as likely as any other, as rates want it."
    )
    step: PositiveInt | PositiveFloat | None = Field(
        None, description="Between the values of a linear range, from `min` on."
    )
    values: tuple[Any, ...] | None = Field(
        None, min_length=2, description="Numbers in rising order are searched as such."
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
        """Values that a field must allow if it is to allow them all."""
        if self.values is not None:
            return self.values
        second = () if self.step is None else (self.min + self.step,)  # type: ignore[operator]
        return (self.min, self.max, *second)


class Aim(Config):
    """A metric that is to become better."""

    task: Name = Field(description="Whose metric it is.")
    metric: Metric | None = Field(
        None, description="By default auc of a binary task, xauc of a regression."
    )
    weight: PositiveFloat = Field(1.0, description="Among all aims; it also evens out their units.")


class Tuning(Config):
    """A search for settings, by trainings that are measured on the validation split."""

    parameters: dict[str, Parameter] = Field(
        min_length=1, description="By the path of a field, such as `training.learning_rate`."
    )
    objective: tuple[Aim, ...] = Field(
        (),
        description="The weighted mean of these metrics is made as large as can be; one of which "
        "less is better counts negative. Every task's by default.",
    )
    constraints: tuple[Bound, ...] = Field(
        (),
        description="A trial that breaks one is never chosen. `may_lose` is against the config as "
        "it is.",
    )
    trials: int = Field(20, ge=2, description="Settings that are tried; the config's own first.")
    examples: PositiveInt | None = Field(
        None,
        description="Rows that all trainings together may read, those with further seeds included; "
        "a training that would go beyond, as long as the longest so far, is not begun.",
    )
    finalists: PositiveInt = Field(
        3, description="The best trials, which are trained again beside the config as it is."
    )
    final_seeds: int = Field(
        4, ge=2, description="With how many further seeds; their mean decides."
    )
    seed: NonNegativeInt = Field(1, description="Of what is tried; trainings have their own.")


def with_values(config: ConfigT, values: Mapping[str, Any]) -> ConfigT:
    """The config with other values, by path.

    Raises:
        ValidationError: If they, or all of them together, are not allowed.
    """
    content: Any = config.model_dump()
    for path, value in values.items():
        content = with_value(content, locate(content, path), value)
    return type(config).model_validate(content)


def current_values(config: BaseModel, paths: Iterable[str]) -> dict[str, Any]:
    """What a config has at each path."""
    content = config.model_dump()
    return {path: value_at(content, locate(content, path)) for path in paths}


def takes_whole_numbers(config: BaseModel, path: str, parameter: Parameter) -> bool:
    """Whether the values of a range between its whole ends are whole as well."""
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
        parameters: By path.
        config: Whose fields they are.

    Raises:
        ValueError: With the path of the parameter, as a field of the config, and what to do.
    """
    content = config.model_dump()
    taken: dict[Location, str] = {}
    for path, parameter in parameters.items():
        where = f"tuning.parameters.{path}"
        try:
            location = locate(content, path)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        for other in _around(location, taken):
            raise ValueError(f"{where}: `{taken[other]}` changes it too; leave one of them out")
        taken[location] = path
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
    """Those of `others` that hold a location, or are held by it."""
    for other in others:
        shared = min(len(other), len(location))
        if other[:shared] == location[:shared]:
            yield other


def _not_tuned(location: Location, path: str) -> str:
    """Why a field must not be tuned; "" where it may be."""
    first, last = location[0], location[-1]
    if last == "kind" and len(location) > 1:
        whole = path.rpartition(".")[0]
        return f"decides which other fields there are; give `values` of the whole `{whole}` instead"
    for start, reason in _NOT_TUNED.items():
        if location[: len(start)] == start:
            return reason
    if first in _OF_LISTS:
        names = _OF_LISTS[str(first)]
        if len(location) < 3 or location[2] not in names:
            return f"decides what is read or measured; of {first}, tune {' or '.join(names)}"
        return ""
    if first not in ("trunk", "towers", "training"):
        return "is no part of what is learned; tune `trunk`, `towers`, `training` or what they hold"
    return ""
