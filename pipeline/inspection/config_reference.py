"""Text of docs/config.md: every field of a config, made from the schemas.

`make docs` writes it: `python -m taskroute.pipeline.inspection.config_reference > docs/config.md`.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from taskroute.schemas.recommender import RecommenderConfig

_INTRODUCTION = """\
# The config, field by field

Made from `schemas/` by `make docs`. A config is one YAML file. A field that is not named here is
refused, with the closest name; so is a wrong value, with its path and what it should be:

```
taskroute: shop.yaml: features[3].embedding_dim: Input should be greater than 0
```

`taskroute init LOG` writes a config from a log; `examples/` has whole ones. Other pages describe
what the fields do: [ingestion](ingestion.md) (`source`), [transform](transform.md) (`features`),
[trunks](trunks.md), [learning](learning.md) (`tasks`, `training`), [evaluation](evaluation.md),
[serving](serving.md), [scale](scale.md) and [Kubeflow](kubeflow.md) (`runtime`).

*required* stands where there is no default, *none* where a thing that is left out is not there.
A part that comes in kinds needs its `kind` wherever it is given.
"""

# In the order of a config file; every other part follows in the order of the schema.
_FIRST = ("name", "source", "features", "tasks")

# Formats of text in the schema; see `taskroute.schemas.base`.
_KINDS_OF_TEXT = ("name", "column of the log")


def reference() -> str:
    """Text of the page."""
    lines = _Reference(RecommenderConfig.model_json_schema()).lines()
    return "\n".join([_INTRODUCTION, *lines]) + "\n"


class _Reference:
    """Walks the JSON schema of the config: a section for each part, where it is first met."""

    def __init__(self, schema: Mapping[str, Any]):
        self._root = schema
        self._parts: Mapping[str, Any] = schema["$defs"]
        self._headings: dict[str, str] = {}
        self._unions: dict[str, list[str]] = {}

    def lines(self) -> Iterator[str]:
        """The root's table, then each part's section."""
        fields = self._root["properties"]
        fields = {name: fields[name] for name in (*_FIRST, *(n for n in fields if n not in _FIRST))}
        for name, field in fields.items():
            self._find_headings(name, field)
        yield from self._table(fields, self._root["required"])
        for part, heading in self._headings.items():
            union = heading.partition(", kind:")[0]
            common = self._common(self._unions.get(union, []))
            if part in self._unions.get(union, [])[:1]:
                yield from ("", f"{_level(union)} {union}")
                if common:
                    yield from ("", "Of every kind:", "")
                    yield from self._table(common, self._parts[part].get("required", ()))
            content = self._parts[part]
            own = {n: f for n, f in self._fields(part).items() if n not in (*common, "kind")}
            yield from ("", f"{_level(heading)} {heading}", "", content.get("description", ""))
            if own:
                yield ""
                yield from self._table(own, content.get("required", ()))

    def _find_headings(self, path: str, field: Mapping[str, Any], within: str = "") -> None:
        """Names the parts that a field may hold, then those within them.

        Args:
            path: Path of the field, without kinds.
            field: JSON schema of the field.
            within: Kind that has the field; distinguishes parts of the same path.
        """
        for part in self._references(field):
            if part in self._headings:
                continue
            kind = self._kind(part)
            heading = path if kind is None else f"{path}, kind: {kind}"
            if heading in self._headings.values():
                heading = f"{heading} of {within}"
            self._headings[part] = heading
            if kind is not None:
                self._unions.setdefault(path, []).append(part)
            for name, inner in self._fields(part).items():
                self._find_headings(f"{path}.{name}", inner, kind or within)

    def _common(self, kinds: Sequence[str]) -> dict[str, Any]:
        """Fields that are the same in all these parts."""
        fields = [self._fields(part) for part in kinds]
        first = fields[0] if fields else {}
        return {n: f for n, f in first.items() if all(other.get(n) == f for other in fields)}

    def _fields(self, part: str) -> Mapping[str, Any]:
        return self._parts[part].get("properties", {})

    def _kind(self, part: str) -> str | None:
        """Kind of a part; None where a part has no kinds."""
        return self._fields(part).get("kind", {}).get("const")

    def _references(self, field: Mapping[str, Any]) -> Iterator[str]:
        """Parts that a field may hold."""
        match field:
            case {"$ref": reference}:
                yield reference.rpartition("/")[2]
            case {"anyOf": choices} | {"oneOf": choices}:
                for choice in choices:
                    yield from self._references(choice)
            case {"items": dict() as inner} | {"additionalProperties": dict() as inner}:
                yield from self._references(inner)

    def _table(self, fields: Mapping[str, Any], required: Sequence[str]) -> Iterator[str]:
        yield "| field | type | default | what |"
        yield "|---|---|---|---|"
        for name, field in fields.items():
            default = "*required*" if name in required else self._default(field)
            cells = (f"`{name}`", self._type(field), default, self._what(field))
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    def _what(self, field: Mapping[str, Any]) -> str:
        """The field's own description, or the first paragraph of the only part it may hold."""
        text = field.get("description")
        parts = list(self._references(field))
        if text is None and len(parts) == 1:
            text = self._parts[parts[0]]["description"].partition("\n\n")[0]
        return " ".join((text or "").split()).replace("*", r"\*")

    def _default(self, field: Mapping[str, Any]) -> str:
        if "default" in field:
            return self._shown(field["default"])
        return "`{}`" if field.get("type") == "object" else "*see right*"

    def _shown(self, value: Any) -> str:
        match value:
            case None:
                return "*none*"
            case {"kind": kind}:
                return f"`kind: {kind}`"
            case {} if not value:
                return "`{}`"
            case {}:
                return "its own defaults"
            case [{}, *_]:
                return f"{len(value)}, with their own defaults"
            case float():
                return f"`{value:g}`"
            case str():
                return f"`{value}`"
        return f"`{json.dumps(value)}`"

    def _type(self, field: Mapping[str, Any]) -> str:
        match field:
            case {"$ref": reference}:
                return self._link(reference.rpartition("/")[2])
            case {"anyOf": choices}:
                return " or ".join(self._type(c) for c in choices if c.get("type") != "null")
            case {"oneOf": _}:
                parts = list(self._references(field))
                return "kind " + ", ".join(self._link(part, self._kind(part)) for part in parts)
            case {"const": value}:
                return f"`{value}`"
            case {"enum": values}:
                return " | ".join(f"`{value}`" for value in values)
            case {"prefixItems": items}:
                return f"list of {len(items)}: " + ", ".join(self._type(item) for item in items)
            case {"type": "array", "items": items}:
                return f"list of {self._type(items)}{_length(field)}"
            case {"propertyNames": {"enum": _} as keys, "additionalProperties": values}:
                return f"mapping of {self._type(keys)} to {self._type(values)}"
            case {"type": "object", "additionalProperties": values}:
                keys = _text(field.get("propertyNames", {}))
                return f"mapping of {keys} to {self._type(values)}"
        return _scalar(field)

    def _link(self, part: str, text: str | None = None) -> str:
        heading = self._headings[part]
        return f"[{text or heading}](#{anchor(heading)})"


def _level(heading: str) -> str:
    return "###" if "." in heading or ", kind:" in heading else "##"


def _scalar(field: Mapping[str, Any]) -> str:
    if not field:
        return "any value"
    match field["type"]:
        case "boolean":
            return "`true` | `false`"
        case "string":
            return _text(field)
        case "integer":
            return f"whole number{_range(field)}"
    return f"number{_range(field)}"


def _text(field: Mapping[str, Any]) -> str:
    return field["format"] if field.get("format") in _KINDS_OF_TEXT else "text"


def _range(field: Mapping[str, Any]) -> str:
    bounds = (
        ("minimum", "≥"),
        ("exclusiveMinimum", ">"),
        ("maximum", "≤"),
        ("exclusiveMaximum", "<"),
    )
    texts = [f"{sign} {field[bound]:g}" for bound, sign in bounds if bound in field]
    return f" {', '.join(texts)}" if texts else ""


def _length(field: Mapping[str, Any]) -> str:
    least, most = field.get("minItems", 0), field.get("maxItems")
    if most is not None:
        return f", {least} to {most}"
    return f", {least} at least" if least else ""


def anchor(heading: str) -> str:
    """Anchor of a heading, as GitHub makes it."""
    kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


if __name__ == "__main__":
    sys.stdout.write(reference())
