"""Space of a search: a dimension for each parameter, in the numbers that a model sees."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from taskroute.schemas.tuning import (
    Parameter,
    Tuning,
    current_values,
    takes_whole_numbers,
    with_values,
)

# Digits of a drawn number: more would show in no result, and nobody would read them.
_DIGITS = 4

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Dimension:
    """One parameter. A point of it is a number of its range, or a place among its values.

    Attributes:
        parameter: Declared parameter.
        contents: Content of the field for each of the declared values; None for a range.
        is_whole: Whether a range is of whole numbers.
    """

    parameter: Parameter
    contents: tuple[Any, ...] | None = None
    is_whole: bool = False

    @classmethod
    def of_field(cls, config: BaseModel, path: str, parameter: Parameter) -> "Dimension":
        """Dimension of a field of a config."""
        if parameter.values is None:
            return cls(parameter, is_whole=takes_whole_numbers(config, path, parameter))
        contents = [
            current_values(with_values(config, {path: value}), [path])[path]
            for value in parameter.values
        ]
        return cls(parameter, tuple(contents))

    def value(self, point: float) -> Any:
        """Field's value at a point."""
        if self.parameter.values is not None and self.contents is not None:
            value = self.contents[int(point)]
            # A value that is no number stays as written: a trunk without all its defaults.
            return value if _is_number(value) else self.parameter.values[int(point)]
        return int(point) if self.is_whole else point

    def point(self, value: Any) -> float | None:
        """Point of a value of the field; None if the parameter cannot take it."""
        if self.contents is not None:
            return float(self.contents.index(value)) if value in self.contents else None
        low, high = self._ends
        return float(value) if _is_number(value) and low <= value <= high else None

    def sample(self, random: np.random.Generator, size: int) -> Array:
        """Random points, (size,)."""
        if self.contents is not None:
            return random.integers(len(self.contents), size=size).astype(np.float64)
        low, high = self._ends
        if self.parameter.step is not None:
            step = float(self.parameter.step)
            steps = random.integers(math.floor((high - low) / step + 1e-9) + 1, size=size)
            return _rounded(low + step * steps.astype(np.float64))
        if self.is_whole:  # each end with as much room as any other number
            low, high = low - 0.5, high + 0.5
        uniform = random.uniform(size=size)
        if self.parameter.scale == "log":
            drawn = low * (high / low) ** uniform
        else:
            drawn = low + (high - low) * uniform
        return np.rint(drawn) if self.is_whole else np.clip(_rounded(drawn), low, high)

    def encode(self, points: Array) -> Array:
        """Coordinates (N, K) of points (N,), a unit from end to end; K > 1 without an order."""
        if self.contents is None:
            low, high = self._ends
            if self.parameter.scale == "log":
                points, low, high = np.log(points), math.log(low), math.log(high)
            return ((points - low) / (high - low))[:, np.newaxis]
        if all(map(_is_number, self.contents)) and list(self.contents) == sorted(self.contents):
            return (points / (len(self.contents) - 1))[:, np.newaxis]
        return np.eye(len(self.contents))[points.astype(int)] / math.sqrt(2)

    @property
    def _ends(self) -> tuple[float, float]:
        return float(self.parameter.min or 0), float(self.parameter.max or 0)


Space = Mapping[str, Dimension]

# By path, a number for each dimension.
Point = dict[str, float]


def space_of(config: BaseModel, tuning: Tuning) -> Space:
    """Dimensions by path."""
    return {
        path: Dimension.of_field(config, path, declared)
        for path, declared in tuning.parameters.items()
    }


def values_of(space: Space, point: Point) -> dict[str, Any]:
    """Values of the fields, by path."""
    return {path: dimension.value(point[path]) for path, dimension in space.items()}


def point_of(config: BaseModel, space: Space) -> Point | None:
    """Point of the config itself; None if it lies outside of the space."""
    points = {
        path: space[path].point(value) for path, value in current_values(config, space).items()
    }
    known = {path: point for path, point in points.items() if point is not None}
    return known if len(known) == len(points) else None


def sample(space: Space, random: np.random.Generator, size: int) -> list[Point]:
    """Random points."""
    columns = [dimension.sample(random, size).tolist() for dimension in space.values()]
    return [dict(zip(space, row, strict=True)) for row in zip(*columns, strict=True)]


def encode(space: Space, points: Sequence[Point]) -> Array:
    """Coordinates of N points, (N, K)."""
    columns = [
        dimension.encode(np.array([point[path] for point in points]))
        for path, dimension in space.items()
    ]
    return np.concatenate(columns, axis=1)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rounded(values: Array) -> Array:
    """Rounds to the digits that a person reads."""
    sizes = np.floor(np.log10(np.maximum(np.abs(values), 1e-18)))
    # A quotient of whole numbers is the nearest there is: 1000 / 10000 is 0.1 as it is written.
    scales = 10.0 ** np.maximum(_DIGITS - 1 - sizes, 0)
    rounded: Array = np.rint(values * scales) / scales
    return rounded
