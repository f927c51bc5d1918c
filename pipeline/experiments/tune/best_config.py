"""User's config with the chosen values; its text is changed as little as possible."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from taskroute.pipeline.run.paths import absolute_source
from taskroute.schemas.field_paths import Location, locate, value_at, with_value
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig
from taskroute.schemas.tuning import with_values


def best_config(
    text: str,
    folder: Path,
    config: RecommenderConfig,
    data_folder: Path,
    values: Mapping[str, Any],
    comments: Sequence[str],
) -> str:
    """Text of a config that trains the chosen values from any folder of this machine.

    Comments and layout stay, but where YAML's anchors make one text stand for two fields.

    Args:
        text: Text of the config's file.
        folder: Folder of that file.
        config: Content of that file.
        data_folder: Folder in which relative paths of its source start: they become absolute.
        values: Chosen values, by the field's path.
        comments: Lines to begin with.
    """
    content = yaml.safe_load(text)
    model = with_values(config.part(ModelConfig), values)
    fields = model.model_dump(mode="json")
    changes = [
        _in_file(content, locate(fields, field), json.loads(json.dumps(value)), fields)
        for field, value in values.items()
    ]
    source = absolute_source(config, data_folder)
    changes += [
        (("source", name), getattr(source, name))
        for name in ("path", "test_path")
        if name in content["source"]
    ]
    route = content.get("trunk", {}).get("route")
    if isinstance(route, str) and "trunk" not in values:
        changes.append((("trunk", "route"), str((folder / route).resolve())))
    result = content
    for location, value in changes:
        result = with_value(result, location, value)
    text = _edited(text, changes, result)
    return "".join(f"# {line}".rstrip() + "\n" for line in comments) + "\n" + text


def _in_file(
    content: Any, location: Location, value: Any, fields: Mapping[str, Any]
) -> tuple[Location, Any]:
    """Location and value to write: a whole section where the file leaves it to its defaults.

    Args:
        content: Content of the file.
        location: Place of the field.
        value: Its new value.
        fields: The config with that value, and all defaults.
    """
    there: Any = content
    for place, step in enumerate(location):
        if not isinstance(there, dict | list):
            return location[:place], value_at(fields, location[:place])
        if isinstance(there, dict) and step not in there:
            start = location[: place + 1]
            return start, value_at(fields, start)
        there = value_at(there, (step,))
    return location, value


def _edited(text: str, changes: Sequence[tuple[Location, Any]], result: Any) -> str:
    """Changes the text, or writes it anew where the changes do not lead to `result`."""
    try:
        for location, value in changes:
            text = _replaced(text, location, value)
        if yaml.safe_load(text) == result:
            return text
    except yaml.YAMLError:
        pass  # an anchor went, and what pointed to it leads nowhere
    return yaml.safe_dump(result, sort_keys=False, width=100, default_flow_style=None)


def _replaced(text: str, location: Location, value: Any) -> str:
    """Replaces the value of a field in the text, or adds the field to its mapping."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    *parents, last = location
    for step in parents:
        node = _child(node, step)
    written = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    written = written.removesuffix("\n...\n").strip()
    old = _child(node, last)
    if old is not None:
        return text[: old.start_mark.index] + written + text[_end(old) :]
    entry = f"{last}: {written}"
    if node.flow_style:
        end = node.end_mark.index - 1
        comma = ", " if node.value else ""
        return f"{text[:end].rstrip()}{comma}{entry}{text[end:]}"
    end = text.find("\n", _end(node))
    end = len(text) if end < 0 else end
    return f"{text[:end]}\n{' ' * node.start_mark.column}{entry}{text[end:]}"


def _end(node: Any) -> int:
    """End of a node's text; YAML's own end of a block is the start of the next field."""
    while not isinstance(node, yaml.ScalarNode) and not node.flow_style:
        node = node.value[-1]
        node = node[1] if isinstance(node, tuple) else node
    index: int = node.end_mark.index
    return index


def _child(node: Any, step: str | int) -> Any:
    """Value of a key, or entry at a place; None where a mapping lacks the key."""
    if isinstance(node, yaml.SequenceNode):
        return node.value[step]
    return next((value for key, value in node.value if key.value == step), None)
