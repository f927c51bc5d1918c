"""Log files (CSV, JSON Lines, Parquet) in Arrow batches, without TensorFlow or TFX."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from taskroute.components.logs import csv_log, json_lines, nested
from taskroute.components.logs.log_batch import LogBatch, lacking_columns, require_columns
from taskroute.components.logs.log_files import open_file, say_what_is_wrong
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import STANDARD_CSV, Csv

LogFormat = Literal["csv", "jsonl", "parquet"]

BATCH_ROWS = 65_536  # at most, for Parquet
_ROWS_PER_PART = 1_000_000


@dataclass(frozen=True)
class Part:
    """Work of one reader: a file, or some row groups of a Parquet file."""

    file: str
    first_row: int = 1
    row_groups: tuple[int, ...] | None = None
    num_rows: int | None = None  # where the file's own index has it


def split_into_parts(
    files: Sequence[str], log_format: LogFormat, rows_per_part: int | None = None
) -> list[Part]:
    """Cuts a log into parts to read in parallel: files, or row groups of large Parquet files.

    Args:
        files: Files of the log.
        log_format: Format of the files.
        rows_per_part: Least number of rows of a part that is not the last of its file; a million
            by default.

    Raises:
        DataError: If a Parquet file cannot be opened.
    """
    if log_format != "parquet":
        return [Part(file) for file in files]
    return [
        part for file in files for part in _parquet_parts(file, rows_per_part or _ROWS_PER_PART)
    ]


def read_batches(
    part: Part,
    columns: Sequence[RawColumn],
    log_format: LogFormat,
    form: Csv = STANDARD_CSV,
) -> Iterator[LogBatch]:
    """Reads the columns of a part, some ten thousand rows at a time, and no other column.

    Args:
        part: Part from `split_into_parts`; `Part(file)` for a whole file.
        columns: Columns to read; a name may occur more than once.
        log_format: Format of the file; CSV and JSON Lines are unpacked where the name ends in .gz.
        form: Form of CSV files.

    Raises:
        DataError: If the file cannot be read or lacks a column that it must have.
    """
    with say_what_is_wrong(part.file):
        match log_format:
            case "csv":
                yield from csv_log.read_csv(part.file, columns, form)
            case "jsonl":
                yield from json_lines.read_json_lines(part.file, columns)
            case "parquet":
                yield from _read_parquet(part, columns)


def column_names(file: str, log_format: LogFormat, form: Csv = STANDARD_CSV) -> list[str]:
    """Columns of a file, in its order; for JSON Lines the keys of the first lines, sorted.

    Of a column of objects they are the columns inside it, such as `user.id`.

    Raises:
        DataError: If the file cannot be read.
    """
    with say_what_is_wrong(file):
        match log_format:
            case "csv":
                return csv_log.read_header(file, form)
            case "jsonl":
                return json_lines.read_keys(file)
            case "parquet":
                with _parquet_file(file) as parquet:
                    schema = parquet.schema_arrow
                    return [
                        name
                        for field in schema
                        for name in nested.fields_of(field.type, field.name)
                    ]


def require_somewhere(
    where: str,
    files: Sequence[str],
    columns: Sequence[RawColumn],
    log_format: LogFormat,
    form: Csv = STANDARD_CSV,
) -> None:
    """Refuses a log that has a column in none of its files: a name is misspelt.

    Opens files until each column was seen: mostly the first one.

    Raises:
        DataError: If there is such a column, or a file cannot be opened.
    """
    unseen = dict.fromkeys(column.name for column in columns if column.need != "no_file")
    seen: dict[str, None] = {}
    for file in files:
        if not unseen:
            return
        with say_what_is_wrong(file):
            names = names_in(file, log_format, form)
            seen |= dict.fromkeys(column_names(file, log_format, form))
            unseen = {name: None for name in unseen if name not in names}
    if files:
        require_columns(where, list(unseen), list(seen))


def names_in(file: str, log_format: LogFormat, form: Csv = STANDARD_CSV) -> Collection[str]:
    """Names that columns of a file can be read by."""
    match log_format:
        case "csv":
            return csv_log.read_header(file, form)
        case "jsonl":
            return json_lines.keys_anywhere(file)
        case "parquet":
            with _parquet_file(file) as parquet:
                return _ParquetNames(parquet.schema_arrow)


def _names(columns: Sequence[RawColumn]) -> list[str]:
    return list(dict.fromkeys(column.name for column in columns))


def _parquet_file(file: str) -> pq.ParquetFile:
    source = open_file(file)
    if source.size() == 0:
        raise DataError(f"{file}: is empty")
    try:
        # Spark's INT96 reaches beyond nanoseconds, which would turn the year 9999 into 1816.
        return pq.ParquetFile(source, coerce_int96_timestamp_unit="us")
    except pa.ArrowInvalid:
        raise DataError(f"{file}: is not a Parquet file, or is cut off") from None


def _parquet_parts(file: str, rows_per_part: int) -> Iterator[Part]:
    with say_what_is_wrong(file), _parquet_file(file) as parquet:
        sizes = [
            parquet.metadata.row_group(index).num_rows
            for index in range(parquet.metadata.num_row_groups)
        ]
        if sum(sizes) != parquet.metadata.num_rows:
            raise DataError(_wrong_index(file, parquet.metadata.num_rows, sum(sizes)))
    if not sizes:
        yield Part(file, 1, (), 0)
    first_row, start, rows = 1, 0, 0
    for index, size in enumerate(sizes):
        rows += size
        if rows >= rows_per_part or index == len(sizes) - 1:
            yield Part(file, first_row, tuple(range(start, index + 1)), rows)
            first_row, start, rows = first_row + rows, index + 1, 0


class _ParquetNames(Collection[str]):
    """Names of columns, and of fields of their objects."""

    def __init__(self, schema: pa.Schema):
        self._schema = schema

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or name in self._schema.names:
            return name in self._schema.names
        root, _, path = name.partition(".")
        return (
            bool(path)
            and self._schema.names.count(root) == 1
            and nested.has_field(self._schema.field(root).type, path)
        )

    def __iter__(self) -> Iterator[str]:
        for field in self._schema:
            yield field.name
            inside = nested.fields_of(field.type, field.name)
            yield from (name for name in inside if name not in self._schema.names)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _wrong_index(file: str, num_told: int, num_rows: int) -> str:
    return f"{file}: its index tells of {num_told:,} rows and it has {num_rows:,}; write it again"


def _read_parquet(part: Part, columns: Sequence[RawColumn]) -> Iterator[LogBatch]:
    next_row = part.first_row
    with _parquet_file(part.file) as parquet:
        literal = parquet.schema_arrow.names
        lacking = lacking_columns(part.file, columns, _ParquetNames(parquet.schema_arrow))
        names = [name for name in _names(columns) if name not in lacking]
        paths = {name: name.split(".", 1) for name in names if nested.is_nested(name, literal)}
        roots = dict.fromkeys(paths[name][0] if name in paths else name for name in names)
        num_told = parquet.metadata.num_rows if part.num_rows is None else part.num_rows
        for values in parquet.iter_batches(
            batch_size=BATCH_ROWS, row_groups=part.row_groups, columns=list(roots)
        ):
            rows = np.arange(next_row, next_row + values.num_rows)
            next_row += len(rows)
            arrays = [
                nested.field_values(values[paths[name][0]], paths[name][1])
                if name in paths
                else values[name]
                for name in names
            ]
            batch = LogBatch(part.file, rows, _as_bytes(pa.RecordBatch.from_arrays(arrays, names)))
            yield batch.with_lacking(lacking)
    if next_row - part.first_row != num_told:
        raise DataError(_wrong_index(part.file, num_told, next_row - part.first_row))


def _as_bytes(values: pa.RecordBatch) -> pa.RecordBatch:
    """Turns texts into bytes, so that their conversion checks that they are UTF-8."""
    arrays = [column.cast(_bytes_type(column.type)) for column in values.columns]
    return pa.RecordBatch.from_arrays(arrays, names=values.schema.names)


def _bytes_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _bytes_type(kind.value_type)
    if pa.types.is_list(kind):
        return pa.list_(_bytes_type(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_bytes_type(kind.value_type))
    return {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}.get(kind, kind)
