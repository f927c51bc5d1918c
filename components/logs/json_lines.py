"""JSON Lines logs in Arrow batches.

Arrow parses a block of lines in C++ if every column keeps one type. The types come from the
first lines; a block that does not keep them (ids that are numbers here and strings there, or
integers beyond 64 bits) is read line by line in Python instead, with the same result.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from taskroute.components.logs.bad_rows import Reason, shorten
from taskroute.components.logs.conversions import to_text, value_text
from taskroute.components.logs.log_files import TextStream
from taskroute.schemas.features import ColumnKind

BLOCK_BYTES = 4 << 20
_LONGEST_LINE = 64 << 20
_PROBED_LINES = 1000
_EXACT_IN_DOUBLE = 2.0**53
_TYPES: tuple[tuple[type, pa.DataType], ...] = (  # bool first: it is an int of Python
    (bool, pa.bool_()),
    (int, pa.int64()),
    (float, pa.float64()),
    (str, pa.string()),
)


class LongLine(Exception):  # noqa: N818
    """A line that is too long to be a row."""


class BadLine(NamedTuple):
    """A line, counted from 0 in its block, that is no JSON object of readable columns."""

    line: int
    reason: Reason
    column: str | None
    problem: str
    value: str | None


def split_blocks(stream: TextStream) -> Iterator[bytes]:
    """Cuts a stream into blocks of whole lines.

    Raises:
        LongLine: If a line is longer than 64 MB.
    """
    rest = b""
    while chunk := stream.read(BLOCK_BYTES):
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
        if len(rest) > _LONGEST_LINE:
            raise LongLine
    if rest:
        yield rest


class BlockParser:
    """Parses the blocks of a file in order, and keeps the columns' types between them."""

    def __init__(self, kinds: Mapping[str, ColumnKind]):
        self._kinds = kinds
        self._types: dict[str, pa.DataType] = {}

    def keys(self, block: bytes) -> set[str]:
        """Keys of the first lines, where they are objects."""
        rows = _parse_lines(islice(_lines(block), _PROBED_LINES))
        return {key for row in rows if isinstance(row, dict) for key in row}

    def parse(self, block: bytes) -> tuple[pa.RecordBatch, list[BadLine]]:
        """Columns of a block's readable lines, and the other lines.

        A missing key is null; a blank line is no row.
        """
        if not self._types:
            self._probe(block)
        batch = self._parse_typed(block)
        if batch is not None:
            return batch, []
        lines, rows, bad = _read_lines(block)
        if bad:
            batch = self._parse_typed(b"\n".join(lines))
        if batch is None:
            batch, unreadable = self._parse_values(rows)
            # Counted among the objects so far.
            objects = np.delete(np.arange(len(rows) + len(bad)), [line.line for line in bad])
            bad += [line._replace(line=int(objects[line.line])) for line in unreadable]
            self._probe(block)
        return batch, sorted(bad, key=lambda line: line.line)

    def _probe(self, block: bytes) -> None:
        for row in _parse_lines(islice(_lines(block), _PROBED_LINES)):
            if not isinstance(row, dict):
                continue
            for name in self._kinds:
                kind = _type_of(row.get(name))
                if kind is not None:
                    self._types[name] = _common_type(self._types.get(name), kind)

    def _parse_typed(self, block: bytes) -> pa.RecordBatch | None:
        schema = pa.schema(
            [
                (name, _parsed_type(self._types.get(name), kind))
                for name, kind in self._kinds.items()
            ]
        )
        try:
            table = pj.read_json(
                pa.py_buffer(block),
                pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
                pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
            )
        except pa.ArrowInvalid:
            return None
        # Arrow takes two objects of one line for two rows, and one object of two lines for one.
        num_lines = block.count(b"\n") + (not block.endswith(b"\n"))
        if table.num_rows != num_lines and table.num_rows != sum(1 for _ in _lines(block)):
            return None
        # By name: Arrow orders the columns as the lines do.
        columns = [table[name].combine_chunks() for name in self._kinds]
        for column, kind in zip(columns, self._kinds.values(), strict=True):
            if kind != "number" and _is_rounded(column):
                return None
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def _parse_values(self, rows: list[dict[str, Any]]) -> tuple[pa.RecordBatch, list[BadLine]]:
        bad: dict[int, BadLine] = {}
        columns = []
        for name, kind in self._kinds.items():
            texts: list[str | None] = []
            floats = []
            for line, row in enumerate(rows):
                value = row.get(name)
                text = None
                try:
                    if isinstance(value, float):
                        floats.append(line)
                    else:
                        text = _text_of(value, kind)
                except TypeError as error:
                    problem = f"{error} where a {kind} is asked for"
                    bad.setdefault(line, BadLine(line, "wrong_type", name, problem, shorten(value)))
                except UnicodeEncodeError:  # half of a surrogate pair
                    shown = shorten(json.dumps(value))
                    problem = "is not UTF-8 text"
                    bad.setdefault(line, BadLine(line, "not_utf8", name, problem, shown))
                texts.append(text)
            numbers = to_text(pa.array([rows[line][name] for line in floats], pa.float64()))
            for line, text in zip(floats, numbers.to_pylist(), strict=True):
                texts[line] = text
            columns.append(pa.array(texts, pa.string()))
        batch = pa.RecordBatch.from_arrays(columns, list(self._kinds))
        is_good = np.ones(len(rows), bool)
        is_good[list(bad)] = False
        return batch.filter(pa.array(is_good)), list(bad.values())


def _read_lines(block: bytes) -> tuple[list[bytes], list[dict[str, Any]], list[BadLine]]:
    """Lines that are objects, their objects, and the other lines."""
    lines, rows, bad = [], [], []
    for index, line in enumerate(_lines(block)):
        problem = "is not a JSON object"
        try:
            row = json.loads(line, object_pairs_hook=_unique)
        except _RepeatedKeyError as error:
            row, problem = None, str(error)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            lines.append(line)
            rows.append(row)
        else:
            bad.append(BadLine(index, "not_json", None, problem, shorten(line)))
    return lines, rows, bad


class _RepeatedKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise _RepeatedKeyError(f"has the key '{repeated}' more than once")
    return values


def _lines(block: bytes) -> Iterator[bytes]:
    """Lines that are not blank; Arrow, too, passes over blank ones."""
    return (line for line in block.split(b"\n") if line.strip())


def _parse_lines(lines: Iterator[bytes]) -> Iterator[Any]:
    for line in lines:
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            yield None


def _type_of(value: Any) -> pa.DataType | None:
    if isinstance(value, list):
        elements = [kind for kind in map(_type_of, value) if kind is not None]
        return pa.list_(elements[0]) if elements else None
    return next((kind for python, kind in _TYPES if isinstance(value, python)), None)


def _common_type(old: pa.DataType | None, new: pa.DataType) -> pa.DataType:
    if old is not None and {old, new} == {pa.int64(), pa.float64()}:
        return pa.float64()
    return new if old is None else old


def _parsed_type(probed: pa.DataType | None, kind: ColumnKind) -> pa.DataType:
    if kind == "number" and probed in (None, pa.int64()):
        return pa.float64()
    return pa.string() if probed is None else probed


def _is_rounded(column: pa.Array) -> bool:
    """True for doubles so large that the text may have held other integers."""
    values = column.flatten() if pa.types.is_list(column.type) else column
    if values.type != pa.float64():
        return False
    largest = pc.max(pc.abs(values)).as_py()
    return largest is not None and largest >= _EXACT_IN_DOUBLE


def _text_of(value: Any, kind: ColumnKind) -> str | None:
    if isinstance(value, list) and kind == "texts":
        return json.dumps(value)
    return value_text(value)
