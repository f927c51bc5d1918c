"""Fields of a config by their path: `training.batch_size`, `trunk.layers[0].units`, `tasks.click`.

A path names an entry of a list by its place, or by its `name` where it has one.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

# Keys of mappings and places in lists, from the root.
Location = tuple[str | int, ...]

_PART = re.compile(r"\.?([A-Za-z_]\w*)|\[(\d+)\]")


def locate(content: Mapping[str, Any], path: str) -> Location:
    """Location that a path leads to.

    Args:
        content: Content of a config, from `model_dump`.
        path: Path of one of its fields.

    Raises:
        ValueError: If there is no such field; names those that there are.
    """
    location: list[str | int] = []
    value: Any = content
    end = 0
    while end < len(path):
        part = _PART.match(path, end)
        if part is None or (path[end] == ".") != (end > 0 and part[1] is not None):
            raise ValueError("is no path of a field, such as `trunk.layers[0].units`")
        step = _step(value, part[1], part[2], path[:end])
        location.append(step)
        value, end = value[step], part.end()
    return tuple(location)


def _step(value: Any, name: str | None, place: str | None, before: str) -> str | int:
    """Key or place that a part of a path means.

    Args:
        value: Value at the path before.
        name: The part, if it is a name.
        place: The part, if it is a place.
        before: Path before the part.
    """
    where = f"`{before}`" if before else "a config"
    if isinstance(value, str) or not isinstance(value, Mapping | Sequence):
        state = "is not set" if value is None else f"is {value!r}"
        raise ValueError(f"leads nowhere: {where} {state}")
    if place is not None:
        if isinstance(value, Mapping) or int(place) >= len(value):
            raise ValueError(f"leads nowhere: {where} has no entry [{place}]")
        return int(place)
    if isinstance(value, Mapping):
        names = list(value)
    else:
        names = [entry.get("name") for entry in value if isinstance(entry, Mapping)]
    if name not in names:
        close = get_close_matches(str(name), [each for each in names if each], n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(names) or 'none'}"
        raise ValueError(f"leads nowhere: {where} has no '{name}'; {hint}")
    return str(name) if isinstance(value, Mapping) else names.index(name)


def value_at(content: Any, location: Location) -> Any:
    """Value at a location."""
    for step in location:
        content = content[step]
    return content


def with_value(content: Any, location: Location, value: Any) -> Any:
    """Copy of `content` with another value at a location. A mapping may gain a key."""
    if not location:
        return value
    step, *rest = location
    inner = with_value(content[step], tuple(rest), value) if rest else value
    if isinstance(content, Mapping):
        return {**content, step: inner}
    return [inner if place == step else entry for place, entry in enumerate(content)]
