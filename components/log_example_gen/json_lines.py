"""Reads JSON Lines in Arrow batches.

Arrow parses a block of lines in C++ if every column keeps one type. The types are found in the
first lines; a block that does not keep them (ids that are numbers here and strings there, or
integers beyond 64 bits) is read line by line in Python instead, with the same result.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from taskroute.components.log_example_gen.conversions import BadValue, value_text
from taskroute.schemas.columns import ColumnKind

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


class BadLine(Exception):  # noqa: N818 - caught by whoever knows the file
    """A row, counted from 0 in its block, that is no JSON object of readable columns."""

    def __init__(self, row: int, problem: str, column: str | None = None):
        super().__init__(problem)
        self.row = row
        self.problem = problem
        self.column = column


def split_blocks(stream: pa.NativeFile) -> Iterator[bytes]:
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
    """Parses blocks of lines one after the other, and remembers the columns' types between them."""

    def __init__(self, kinds: Mapping[str, ColumnKind]):
        self._kinds = kinds
        self._types: dict[str, pa.DataType] = {}

    def keys(self, block: bytes) -> set[str]:
        """Keys of the first lines, where they are objects."""
        rows = _parse_lines(islice(_lines(block), _PROBED_LINES))
        return {key for row in rows if isinstance(row, dict) for key in row}

    def parse(self, block: bytes) -> pa.RecordBatch:
        """The wanted columns of a block; a key that a line lacks is null.

        Raises:
            BadLine: At the first line that is no JSON object.
            UnicodeDecodeError: If the block is not UTF-8.
        """
        block.decode()  # Arrow's parser takes any bytes
        if not self._types:
            self._probe(block)
        batch = self._parse_typed(block)
        if batch is None:
            batch = self._parse_line_by_line(block)
            self._probe(block)
        return batch

    def _probe(self, block: bytes) -> None:
        for row in _parse_lines(islice(_lines(block), _PROBED_LINES)):
            if not isinstance(row, dict):
                continue
            for name in self._kinds:
                found = _type_of(row.get(name))
                if found is not None:
                    self._types[name] = _common_type(self._types.get(name), found)

    def _parse_typed(self, block: bytes) -> pa.RecordBatch | None:
        schema = pa.schema(
            [(name, _parsed_as(self._types.get(name), kind)) for name, kind in self._kinds.items()]
        )
        try:
            table = pj.read_json(
                pa.py_buffer(block),
                pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
                pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
            )
        except pa.ArrowInvalid:
            return None
        # By name: Arrow orders the columns as the lines do.
        columns = [table[name].combine_chunks() for name in self._kinds]
        for column, kind in zip(columns, self._kinds.values(), strict=True):
            if kind != "number" and _is_rounded(column):
                return None
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def _parse_line_by_line(self, block: bytes) -> pa.RecordBatch:
        columns: dict[str, list[str | None]] = {name: [] for name in self._kinds}
        for index, row in enumerate(_parse_lines(_lines(block))):
            if not isinstance(row, dict):
                raise BadLine(index, "is not a JSON object")
            for name, kind in self._kinds.items():
                try:
                    columns[name].append(_text_of(row.get(name), kind))
                except BadValue as error:
                    raise BadLine(
                        index, f"{error.problem} where a {kind} is asked for", name
                    ) from None
        arrays = [pa.array(texts, pa.string()) for texts in columns.values()]
        return pa.RecordBatch.from_arrays(arrays, list(columns))


def _lines(block: bytes) -> Iterator[bytes]:
    """Lines that are rows; Arrow, too, passes over blank ones."""
    return (line for line in block.split(b"\n") if line.strip())


def _parse_lines(lines: Iterator[bytes]) -> Iterator[Any]:
    for line in lines:
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            yield None


def _type_of(value: Any) -> pa.DataType | None:
    if isinstance(value, list):
        elements = [found for found in map(_type_of, value) if found is not None]
        return pa.list_(elements[0]) if elements else None
    return next((found for python, found in _TYPES if isinstance(value, python)), None)


def _common_type(old: pa.DataType | None, new: pa.DataType) -> pa.DataType:
    if old is not None and {old, new} == {pa.int64(), pa.float64()}:
        return pa.float64()
    return new if old is None else old


def _parsed_as(found: pa.DataType | None, kind: ColumnKind) -> pa.DataType:
    if kind == "number" and found in (None, pa.int64()):
        return pa.float64()
    return pa.string() if found is None else found


def _is_rounded(column: pa.Array) -> bool:
    """Whether doubles are so large that they may have been other integers in the text."""
    values = column.flatten() if pa.types.is_list(column.type) else column
    if values.type != pa.float64():
        return False
    largest = pc.max(pc.abs(values)).as_py()
    return largest is not None and largest >= _EXACT_IN_DOUBLE


def _text_of(value: Any, kind: ColumnKind) -> str | None:
    if isinstance(value, list) and kind == "texts":
        return json.dumps(value)
    return value_text(value)
