"""JSON Lines logs in Arrow batches.

Arrow parses a block of lines in C++ if every column keeps one type. The types come from the
first lines; a block that does not keep them (ids that are numbers here and strings there, or
integers beyond 64 bits) is read line by line in Python instead, with the same result.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from taskroute.components.logs import nested
from taskroute.components.logs.bad_rows import BadRow, shorten
from taskroute.components.logs.conversions import NULL_ROW, to_text, value_text
from taskroute.components.logs.log_batch import LogBatch, lacking_columns
from taskroute.components.logs.log_files import TextStream
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.features import ColumnKind

BLOCK_BYTES = 4 << 20
_LONGEST_LINE = 64 << 20
_PROBED_LINES = 1000
_EXACT_IN_DOUBLE = 2.0**53
_OPENING, _CLOSING, _NEWLINE, _RETURN = b"{}\n\r"
_TYPES: tuple[tuple[type, pa.DataType], ...] = (  # bool first: it is an int of Python
    (bool, pa.bool_()),
    (int, pa.int64()),
    (float, pa.float64()),
    (str, pa.string()),
)


def read_json_lines(file: str, columns: Sequence[RawColumn]) -> Iterator[LogBatch]:
    """Reads columns; a missing key is null.

    Lines that are no JSON object are noted as bad; blank lines are no rows.

    Raises:
        DataError: If the file is empty, lacks a column that it must have, or has a line that is too
            long.
    """
    kinds: dict[str, ColumnKind] = {}
    for column in columns:
        # A column of two kinds is kept as the file has it.
        first = kinds.setdefault(column.name, column.kind)
        kinds[column.name] = column.kind if first == column.kind else "text"
    parser: _BlockParser | None = None
    lacking: tuple[str, ...] = ()
    stream = TextStream(file)
    next_row = 1
    for block in _blocks(file, stream):
        if parser is None:
            names = _FileKeys(file, block)
            lacking = lacking_columns(file, columns, names)
            kinds = {name: kind for name, kind in kinds.items() if name not in lacking}
            parser = _BlockParser(file, kinds, frozenset(filter(names.is_nested, kinds)))
        batch = parser.parse(block, next_row)
        next_row += batch.num_rows + len(batch.passed_over)
        batch = batch.without_bad_bytes() if stream.has_bad_bytes else batch
        yield batch.with_lacking(lacking)
    if next_row == 1:
        raise _empty(file)


def read_keys(file: str) -> list[str]:
    """Keys of the first lines, sorted; of an object those inside it, such as `user.id`."""
    return sorted(_FileKeys(file, next(_blocks(file, TextStream(file)), b"")))


def keys_anywhere(file: str) -> Collection[str]:
    """Keys of all lines; asking for one that the first lines lack reads the file.

    Raises:
        DataError: If the file is empty.
    """
    for block in _blocks(file, TextStream(file)):
        return _FileKeys(file, block)
    raise _empty(file)


def _empty(file: str) -> DataError:
    return DataError(f"{file}: is empty; each line must be a JSON object")


def _blocks(file: str, stream: TextStream) -> Iterator[bytes]:
    """Cuts a stream into blocks of whole lines."""
    rest = b""
    while chunk := stream.read(BLOCK_BYTES):
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
        if len(rest) > _LONGEST_LINE:
            raise DataError(f"{file}: a line is longer than 64 MB; each row must be one line")
    if rest:
        yield rest


class _FileKeys(Collection[str]):
    """Keys of a file: those of its first lines, and when asked for others, of any line.

    Labels of rare events may be missing at first.
    """

    def __init__(self, file: str, block: bytes):
        self._file = file
        objects = list(_first_objects(block))
        self._keys = {key for content in objects for key in content}
        fields = {name for content in objects for name in nested.json_fields(content)}
        # A key of objects is null, or an empty list, in some lines.
        self._fields = fields - {
            name[:place] for name in fields for place, char in enumerate(name) if char == "."
        }
        self._occurring: dict[str, bool] = {}

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (
            name in self._keys or name in self._fields or self._occurs(name)
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def is_nested(self, name: str) -> bool:
        """True if the name is a path into objects: no line has all of it for a key."""
        if "." not in name or name in self._keys:
            return False
        return name in self._fields or not self._has_text(name)

    def _occurs(self, name: str) -> bool:
        if name not in self._occurring:
            in_parts = "." in name and all(map(self._has_text, name.split(".")))
            self._occurring[name] = in_parts or self._has_text(name)
        return self._occurring[name]

    def _has_text(self, key: str) -> bool:
        """True if the key stands somewhere in the file, plain or escaped."""
        escaped = json.dumps(key)
        spellings = {f'"{key}"', escaped, re.sub(r"\\u\w{4}", _upper, escaped)}
        texts = [text.encode() for text in spellings | {s.replace("/", "\\/") for s in spellings}]
        blocks = _blocks(self._file, TextStream(self._file))
        return any(text in block for block in blocks for text in texts)


def _upper(escape: re.Match[str]) -> str:
    return f"\\u{escape[0][2:].upper()}"


class _BlockParser:
    """Parses the blocks of a file in order, and keeps the columns' types between them."""

    def __init__(
        self, file: str, kinds: Mapping[str, ColumnKind], paths: Collection[str] = frozenset()
    ):
        self._file = file
        self._kinds = kinds
        self._paths = paths  # names that lead into objects
        self._types: dict[str, pa.DataType] = {}
        self._shapes: dict[str, dict[str, bool]] = {}  # by root

    def parse(self, block: bytes, first_row: int) -> LogBatch:
        """Rows of a block; `first_row` is the number of its first line that is not blank."""
        if not self._types:
            self._probe(block)
        num_rows = _num_object_lines(block)
        values = None if num_rows is None else self._parse_typed(block, num_rows)
        if values is not None:
            return LogBatch(self._file, first_row + np.arange(values.num_rows), values)
        lines, objects, bad = self._read_lines(block, first_row)
        num_counted = len(objects) + len(bad)
        if bad:
            values = self._parse_typed(b"\n".join(lines), len(lines))
        if values is None:
            values, unreadable = self._parse_values(objects)
            bad |= unreadable
            self._probe(block)
        rows = np.array([row for row in objects if row not in bad], np.int64)
        passed_over = tuple(bad[row] for row in sorted(bad))
        return LogBatch(self._file, rows, values, passed_over, num_counted)

    def _probe(self, block: bytes) -> None:
        for row in _first_objects(block):
            for name in self._kinds:
                value = self._value(row, name)
                if name in self._paths:
                    root, _, path = name.partition(".")
                    shapes = self._shapes.setdefault(root, {})
                    for place, is_list in nested.shapes_in(row.get(root), path).items():
                        shapes[place] = shapes.get(place, False) or is_list
                    if isinstance(value, list) and any(shapes.values()):
                        value = next((each for each in value if each is not None), None)
                kind = _type_of(value)
                if kind is not None:
                    self._types[name] = _common_type(self._types.get(name), kind)

    def _value(self, row: Mapping[str, Any], name: str) -> Any:
        return nested.value_at(row, name) if name in self._paths else row.get(name)

    def _parse_typed(self, block: bytes, num_rows: int) -> pa.RecordBatch | None:
        """Columns of the lines, each of which starts and ends as an object; None if in doubt."""
        schema = self._schema()
        if schema is None:
            return None
        try:
            table = pj.read_json(
                pa.py_buffer(block),
                pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
                pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
            )
        except pa.ArrowInvalid:
            return None
        # Arrow takes two objects of one line for two rows.
        if table.num_rows != num_rows:
            return None
        columns = [self._column(table, name) for name in self._kinds]
        for column, kind in zip(columns, self._kinds.values(), strict=True):
            if kind != "number" and _is_rounded(column):
                return None
        return pa.RecordBatch.from_arrays(columns, list(self._kinds))

    def _schema(self) -> pa.Schema | None:
        """Types of keys for Arrow; None where one key would need two."""
        types: dict[str, list[pa.DataType]] = {}
        for name, kind in self._kinds.items():
            parsed = _parsed_type(self._types.get(name), kind)
            root = name
            if name in self._paths:
                root, _, path = name.partition(".")
                parsed = nested.type_around(path, self._shapes.get(root, {}), parsed)
            types.setdefault(root, []).append(parsed)
        try:
            return pa.schema([(root, nested.merged(kinds)) for root, kinds in types.items()])
        except ValueError:
            return None

    def _column(self, table: pa.Table, name: str) -> pa.Array:
        # By name: Arrow orders the columns as the lines do.
        if name not in self._paths:
            return table[name].combine_chunks()
        root, _, path = name.partition(".")
        return nested.field_values(table[root].combine_chunks(), path)

    def _read_lines(
        self, block: bytes, first_row: int
    ) -> tuple[list[bytes], dict[int, dict[str, Any]], dict[int, BadRow]]:
        """Lines that are objects; their objects and the other lines, by number of the row."""
        lines, objects, bad = [], {}, {}
        for number, line in enumerate(_lines(block), first_row):
            problem = "is not a JSON object"
            try:
                content = json.loads(line, object_pairs_hook=_unique)
            except _RepeatedKeyError as error:
                content, problem = None, str(error)
            except (ValueError, RecursionError):
                content = None
            if isinstance(content, dict):
                lines.append(line)
                objects[number] = content
            else:
                bad[number] = BadRow(self._file, number, "not_json", None, problem, shorten(line))
        return lines, objects, bad

    def _parse_values(
        self, objects: Mapping[int, dict[str, Any]]
    ) -> tuple[pa.RecordBatch, dict[int, BadRow]]:
        """Columns of the readable rows, and the other rows."""
        bad: dict[int, BadRow] = {}
        columns = []
        for name, kind in self._kinds.items():
            values = [self._value(content, name) for content in objects.values()]
            is_float = [isinstance(value, float) for value in values]
            texts: list[str | None] = []
            for row, value in zip(objects, values, strict=True):
                text = None
                try:
                    text = None if isinstance(value, float) else _text_of(value, kind)
                except TypeError as error:
                    problem, shown = f"{error} where a {kind} is asked for", shorten(value)
                    bad.setdefault(row, BadRow(self._file, row, "wrong_type", name, problem, shown))
                except UnicodeEncodeError:  # half of a surrogate pair
                    problem, shown = "is not UTF-8 text", shorten(json.dumps(value))
                    bad.setdefault(row, BadRow(self._file, row, "not_utf8", name, problem, shown))
                texts.append(text)
            floats = to_text(pa.array([v for v in values if isinstance(v, float)], pa.float64()))
            column = pa.array(texts, pa.string())
            columns.append(pc.replace_with_mask(column, pa.array(is_float, pa.bool_()), floats))
        batch = pa.RecordBatch.from_arrays(columns, list(self._kinds))
        return batch.filter(pa.array([row not in bad for row in objects], pa.bool_())), bad


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


def _num_object_lines(block: bytes) -> int | None:
    """Number of lines that are not blank; None if one of them is certainly no object.

    Arrow 18 crashes on a `null` that is a row, and takes one object of two lines for one row; no
    object goes on after a line that ends with a bracket in a line that starts with one.
    """
    if NULL_ROW.search(block):
        return None
    codes = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(codes == _NEWLINE)
    if not len(ends) or ends[-1] != len(codes) - 1:
        ends = np.append(ends, len(codes))
    starts = np.append(0, ends[:-1] + 1)
    if (codes[starts.clip(max=len(codes) - 1)] == _OPENING).all() and (
        (codes[ends - 1] == _CLOSING).all()
        or (codes[ends - 1 - (codes[ends - 1] == _RETURN)] == _CLOSING).all()
    ):
        return len(ends)
    num_lines = 0
    for line in _lines(block):
        line = line.strip()
        if not line.startswith(b"{") or not line.endswith(b"}"):
            return None
        num_lines += 1
    return num_lines or None


def _first_objects(block: bytes) -> Iterator[dict[str, Any]]:
    for line in islice(_lines(block), _PROBED_LINES):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict):
            yield content


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
