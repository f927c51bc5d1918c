"""Text of the starter config: YAML with the guesses, and comments on what to check."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from taskroute.components.logs.bad_rows import BadRowCounts
from taskroute.pipeline.starter.columns import LogSample
from taskroute.pipeline.starter.guess import Guess
from taskroute.pipeline.starter.guesses import group_column
from taskroute.schemas.source import Csv, Source

# Texts that need no quotes in YAML, unless they are one of the words below.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./{}*-]*")
_YAML_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
_SMALL_LOG = 100_000


def config_text(
    name: str,
    source: Source,
    sample: LogSample,
    guesses: Sequence[Guess],
    origin: str,
    bad_rows: BadRowCounts,
) -> str:
    """Text of a whole config.

    Args:
        name: Name of the ranker.
        source: Source of the log, with its split.
        sample: Rows of the log.
        guesses: Roles of its columns.
        origin: Words for the sample, for the first line.
        bad_rows: Rows of the sample that ingestion would leave out.
    """
    tasks = [each for each in guesses if each.role == "task"]
    lines = [
        f"# Guessed by `taskroute init` from {_one_line(origin)}.",
        "# Look at every line: names and values cannot say what was known before the outcome.",
        f"name: {_scalar(name)}",
        "",
        *_source_lines(source, bad_rows, sample.rows.num_rows),
        "",
        "# What is known before the row's outcome. A column that is known only after it, such as",
        "# how far a page was scrolled, must not stand here.",
        "features:",
        *_entries(each for each in guesses if each.role == "feature"),
        *_left_out(guesses),
        "",
        "# What is predicted. `trained_where: click` counts a task among clicked rows alone.",
        "tasks:",
        *_entries(tasks),
        *_long_view(tasks),
        *_offered(guesses),
        "",
        *_model_lines(len(tasks), sample),
        "",
        *_evaluation_lines(tasks, group_column(guesses)),
    ]
    return "\n".join(lines) + "\n"


def _source_lines(source: Source, bad: BadRowCounts, num_rows: int) -> list[str]:
    split: dict[str, Any] = source.split.model_dump(exclude_none=True)
    how = "rows of one value stay in one split"
    if source.split.by == "time":
        how = "the newest tenth is test: as in production, no model sees ahead"
    lines = [
        "source:",
        f"  path: {_scalar(source.path)}  # starts at this file's folder, or at --data",
        f"  format: {source.format}",
    ]
    form = source.csv.model_dump(exclude_defaults=True)
    if form:
        lines += [f"  # {csv_words(source.csv)}", f"  csv: {_flow(form)}"]
    if source.timestamp is not None:
        lines.append(f"  timestamp: {_scalar(source.timestamp)}")
    lines += [f"  # {how}", f"  split: {_flow(split)}"]
    if source.window_days is not None:
        lines.append(f"  window_days: {source.window_days}  # the newest days that are over")
    if source.max_missing_days:
        lines.append(f"  max_missing_days: {source.max_missing_days}  # days without files")
    if bad.total:
        lines += [
            f"  # {bad.total:,} of {num_rows:,} rows cannot be used: left out and counted",
            *(f"  #   {_one_line(line)}" for line in _one_of_each(bad)),
            f"  max_bad_fraction: {source.max_bad_fraction:g}",
        ]
    else:
        lines.append("  # max_bad_fraction: 0.01  # rows that may be left out; by default none")
    return lines


def csv_words(form: Csv) -> str:
    """Words for what a CSV has other than the standard; empty for the standard."""
    words = []
    names = {"\t": "tabs", ";": "semicolons", "|": "bars"}
    if form.delimiter != ",":
        words.append(f"{names.get(form.delimiter, repr(form.delimiter))} between columns")
    if form.encoding != "utf-8":
        words.append(f"the encoding {form.encoding}")
    if form.decimal != ".":
        words.append("decimal commas")
    if form.quote != '"':
        words.append("no quotes" if form.quote is None else f"{form.quote} for quotes")
    if form.escape:
        words.append(f"{form.escape} before quotes within values")
    if form.header is not True:
        words.append("no header")
    return ", ".join(words)


def _one_of_each(bad: BadRowCounts) -> Iterator[str]:
    for reason, count in bad.counts.items():
        row = bad.first[reason]
        place = "" if row.column is None else f", column {_one_line(row.column)}"
        value = "which" if not row.value or row.column is None else f"where {json.dumps(row.value)}"
        yield f"{count:,} {reason}, the first: row {row.row}{place}, {value} {row.problem}"


def _entries(guesses: Iterable[Guess]) -> list[str]:
    lines = []
    for each in guesses:
        lines += [f"  # {_one_line(each.column)}: {each.why}", f"  - {_flow(each.fields)}"]
    return lines


def _left_out(guesses: Sequence[Guess]) -> list[str]:
    names = [each for each in guesses if each.role == "left out"]
    lines = ["  # Left out:"] if names else []
    return lines + [f"  #   {_one_line(each.column)}: {each.why}" for each in names]


def _long_view(tasks: Sequence[Guess]) -> list[str]:
    """Commented-out task of long views, where watch time is a task."""
    for each in tasks:
        if each.kind == "regression":
            fields = {"name": "long_view", "label": {"column": each.column, "at_least": 30}}
            if "trained_where" in each.fields:
                fields["trained_where"] = each.fields["trained_where"]
            return [f"  # - {_flow(fields)}"]
    return []


def _offered(guesses: Sequence[Guess]) -> list[str]:
    """Commented-out tasks of features that may be outcomes."""
    offered = [each for each in guesses if each.offered is not None]
    lines = ["  # If one of these is an outcome, take it out of `features` and let it stand here:"]
    return [*lines, *(f"  # - {_flow(each.offered)}" for each in offered)] if offered else []


def _model_lines(num_tasks: int, sample: LogSample) -> list[str]:
    trunk: dict[str, Any]
    if num_tasks > 1:
        trunk = {"kind": "snr_trans", "layers": [{"sub_networks": 4, "units": 64}]}
        lines = ["# What the tasks share is learned; `taskroute compare` tries other trunks."]
    else:
        trunk = {"kind": "shared_bottom", "units": [128, 64]}
        lines = ["# One task has nobody to share with: with a second one, try snr_trans."]
    # Routes take some hundred steps to settle.
    batch_size = 256 if sample.rows.is_whole and sample.num_rows < _SMALL_LOG else 1024
    return [
        *lines,
        f"trunk: {_flow(trunk)}",
        "towers: {units: [32]}",
        f"training: {_flow({'batch_size': batch_size, 'epochs': 10, 'patience': 2})}",
    ]


def _evaluation_lines(tasks: Sequence[Guess], group: str | None) -> list[str]:
    binary = [each for each in tasks if each.kind == "binary"]
    judged, metric = (binary[0], "auc") if binary else (tasks[0], "xauc")
    gate = {"task": judged.fields["name"], "metric": metric, "at_least": 0.5, "may_lose": 0.01}
    lines = [
        "# What a candidate must show before it is pushed: better than chance, and not shown to be",
        "# worse than what serves. Raise the bound once you know what your log gives.",
        "evaluation:",
    ]
    if group is not None:
        lines.append(f"  group_key: {_scalar(group)}  # rows of one user are not independent")
    return [*lines, "  gates:", f"    - {_flow(gate)}"]


def _flow(value: Any) -> str:
    match value:
        case Mapping():
            return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
        case str():
            return _scalar(value, in_flow=True)
        case Sequence():
            return "[" + ", ".join(map(_flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _scalar(text: str, *, in_flow: bool = False) -> str:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS
    if plain and not (in_flow and set(text) & set("{}*")):
        return text
    return json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)
