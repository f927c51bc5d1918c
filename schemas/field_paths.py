"""Fields of a config by their path: `training.batch_size`, `trunk.layers[0].units`, `tasks.click`.

An entry of a list is named by its place, or by its `name` where it has one.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

# Keys of mappings and places in lists, from the root.
Location = tuple[str | int, ...]

_PART = re.compile(r"\.?([A-Za-z_]\w*)|\[(\d+)\]")


def locate(content: Mapping[str, Any], path: str) -> Location:
    """Where a path leads in what a config holds.

    Args:
        content: Of a config, as `model_dump` gives it.
        path: Of one of its fields.

    Raises:
        ValueError: If there is no such field; says which ones there are.
    """
    location: list[str | int] = []
    held: Any = content
    end = 0
    while end < len(path):
        part = _PART.match(path, end)
        if part is None or (path[end] == ".") != (end > 0 and part[1] is not None):
            raise ValueError("is no path of a field, such as `trunk.layers[0].units`")
        step = _step(held, part[1], part[2], path[:end])
        location.append(step)
        held, end = held[step], part.end()
    return tuple(location)


def _step(held: Any, name: str | None, place: str | None, before: str) -> str | int:
    """The key or place that a part of a path means.

    Args:
        held: What the path before leads to.
        name: The part, where it is a name.
        place: The part, where it is a place.
        before: The path before.
    """
    where = f"`{before}`" if before else "a config"
    if isinstance(held, str) or not isinstance(held, Mapping | Sequence):
        state = "is not set" if held is None else f"is {held!r}"
        raise ValueError(f"leads nowhere: {where} {state}")
    if place is not None:
        if isinstance(held, Mapping) or int(place) >= len(held):
            raise ValueError(f"leads nowhere: {where} has no entry [{place}]")
        return int(place)
    if isinstance(held, Mapping):
        names = list(held)
    else:
        names = [entry.get("name") for entry in held if isinstance(entry, Mapping)]
    if name not in names:
        close = get_close_matches(str(name), [each for each in names if each], n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(names) or 'none'}"
        raise ValueError(f"leads nowhere: {where} has no '{name}'; {hint}")
    return str(name) if isinstance(held, Mapping) else names.index(name)


def value_at(content: Any, location: Location) -> Any:
    """What stands there."""
    for step in location:
        content = content[step]
    return content


def with_value(content: Any, location: Location, value: Any) -> Any:
    """`content` with another value there; it is not changed itself. A mapping may gain a key."""
    if not location:
        return value
    step, *rest = location
    inner = with_value(content[step], tuple(rest), value) if rest else value
    if isinstance(content, Mapping):
        return {**content, step: inner}
    return [inner if place == step else entry for place, entry in enumerate(content)]
