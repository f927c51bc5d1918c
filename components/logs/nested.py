"""Nested columns: `user.id` is the field `id` of the objects in the column `user`.

A column of that very name comes first. A missing object has missing fields; a list of objects gives
the list of its objects' values.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def is_nested(name: str, literal: Collection[str]) -> bool:
    """True if the name has parts and no column has all of it for its name."""
    return "." in name and name not in literal


def fields_of(kind: pa.DataType, name: str) -> Iterator[str]:
    """Names of all values inside a column: its own if it holds no objects."""
    inner = _element(kind)
    if not pa.types.is_struct(inner):
        yield name
        return
    for place in range(inner.num_fields):
        field = inner.field(place)
        yield from fields_of(field.type, f"{name}.{field.name}")


def has_field(kind: pa.DataType, path: str) -> bool:
    """True if a column of this type can hold the path inside it: `id`, or `geo.city`."""
    inner = _element(kind)
    if pa.types.is_map(inner):
        return is_text_key(inner) and "." not in path
    if not pa.types.is_struct(inner):
        return False
    first, _, rest = path.partition(".")
    place = inner.get_field_index(first)
    return place >= 0 and (not rest or has_field(inner.field(place).type, rest))


def is_text_key(kind: pa.MapType) -> bool:
    """True if the keys of a map are text."""
    return bool(pa.types.is_string(kind.key_type) or pa.types.is_large_string(kind.key_type))


def field_values(values: pa.Array, path: str) -> pa.Array:
    """Values at a path inside a column, as long as the column; null where an object is null.

    Args:
        values: Column for whose type `has_field` is true.
        path: Names of fields with dots between them.
    """
    kind = values.type
    if _is_list(kind):
        inner = field_values(values.flatten(), path)
        lengths = np.asarray(pc.fill_null(pc.list_value_length(values), 0))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), inner, mask=values.is_null())
    if pa.types.is_map(kind):
        return pc.map_lookup(values, pa.scalar(path, kind.key_type), "first")
    first, _, rest = path.partition(".")
    inner = pc.struct_field(values, [kind.get_field_index(first)])
    return field_values(inner, rest) if rest else inner


def value_at(content: Any, path: str) -> Any:
    """Value at a path inside an object of JSON; None where there is none."""
    if isinstance(content, list):
        return [value_at(each, path) for each in content]
    first, _, rest = path.partition(".")
    value = content.get(first) if isinstance(content, dict) else None
    return value_at(value, rest) if rest else value


def json_fields(content: Mapping[str, Any]) -> Iterator[str]:
    """Names of all values inside an object of JSON."""
    for key, value in content.items():
        objects = _objects(value)
        if not objects:
            yield key
        for each in objects:
            yield from (f"{key}.{name}" for name in json_fields(each))


def type_around(path: str, shapes: Mapping[str, bool], leaf: pa.DataType) -> pa.DataType:
    """Type of a column that holds values of type `leaf` at a path.

    Args:
        path: Path inside the column.
        shapes: Whether the value is a list of objects, by the path of what holds the field: "" is
            the column itself.
        leaf: Type of the values.
    """
    parts = path.split(".")
    kind = leaf
    for place in reversed(range(len(parts))):
        kind = pa.struct([(parts[place], kind)])
        if shapes.get(".".join(parts[:place])):
            kind = pa.list_(kind)
    return kind


def shapes_in(content: Any, path: str) -> dict[str, bool]:
    """Shapes for `type_around`, as far as one value tells."""
    shapes: dict[str, bool] = {}
    parts = path.split(".")
    for place in range(len(parts)):
        if isinstance(content, list):
            objects = _objects(content)
            if not objects:
                break
            shapes[".".join(parts[:place])] = True
            content = objects[0]
        if not isinstance(content, dict):
            break
        shapes.setdefault(".".join(parts[:place]), False)
        content = content.get(parts[place])
    return shapes


def merged(kinds: Iterable[pa.DataType]) -> pa.DataType:
    """Type that has the fields of all of these types.

    Raises:
        ValueError: If they differ in more than fields.
    """
    first, *others = kinds
    for other in others:
        if first == other:
            continue
        if _is_list(first) and _is_list(other):
            first = pa.list_(merged([first.value_type, other.value_type]))
            continue
        if not pa.types.is_struct(first) or not pa.types.is_struct(other):
            raise ValueError(f"one type must hold both. Received: {first} and {other}")
        fields = {field.name: field.type for field in first}
        for field in other:
            kind = merged([fields[field.name], field.type]) if field.name in fields else field.type
            fields[field.name] = kind
        first = pa.struct(list(fields.items()))
    return first


def _objects(value: Any) -> list[dict[str, Any]]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, dict)]


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _element(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if _is_list(kind) else kind
