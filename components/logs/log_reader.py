"""Log files (CSV, JSON Lines, Parquet) in Arrow batches, without TensorFlow or TFX."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from taskroute.components.logs import csv_log, json_lines
from taskroute.components.logs.log_batch import LogBatch, require_columns
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


def split_into_parts(files: Sequence[str], log_format: LogFormat) -> list[Part]:
    """Cuts a log into parts to read in parallel: files, or row groups of large Parquet files.

    Raises:
        DataError: If a Parquet file cannot be opened.
    """
    if log_format != "parquet":
        return [Part(file) for file in files]
    return [part for file in files for part in _parquet_parts(file)]


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
        DataError: If the file cannot be read or lacks a column.
    """
    with say_what_is_wrong(part.file):
        match log_format:
            case "csv":
                yield from csv_log.read_csv(part.file, _names(columns), form)
            case "jsonl":
                yield from json_lines.read_json_lines(part.file, columns)
            case "parquet":
                yield from _read_parquet(part, columns)


def column_names(file: str, log_format: LogFormat, form: Csv = STANDARD_CSV) -> list[str]:
    """Columns of a file, in its order; for JSON Lines the keys of the first lines, sorted.

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
                    return list(parquet.schema_arrow.names)


def sample_batches(
    files: Sequence[str],
    columns: Sequence[RawColumn],
    log_format: LogFormat,
    rows: int = 10_000,
    form: Csv = STANDARD_CSV,
) -> Iterator[LogBatch]:
    """Reads the first rows of the log.

    Raises:
        DataError: If a file cannot be read or lacks a column.
    """
    for file in files:
        for batch in read_batches(Part(file), columns, log_format, form):
            yield batch.head(rows)
            rows -= batch.num_rows
            if rows <= 0:
                return


def _names(columns: Sequence[RawColumn]) -> list[str]:
    return list(dict.fromkeys(column.name for column in columns))


def _parquet_file(file: str) -> pq.ParquetFile:
    source = open_file(file)
    if source.size() == 0:
        raise DataError(f"{file}: is empty")
    try:
        return pq.ParquetFile(source)
    except pa.ArrowInvalid:
        raise DataError(f"{file}: is not a Parquet file, or is cut off") from None


def _parquet_parts(file: str) -> Iterator[Part]:
    with say_what_is_wrong(file), _parquet_file(file) as parquet:
        sizes = [
            parquet.metadata.row_group(index).num_rows
            for index in range(parquet.metadata.num_row_groups)
        ]
    if not sizes:
        yield Part(file, 1, (), 0)
    first_row, start, rows = 1, 0, 0
    for index, size in enumerate(sizes):
        rows += size
        if rows >= _ROWS_PER_PART or index == len(sizes) - 1:
            yield Part(file, first_row, tuple(range(start, index + 1)), rows)
            first_row, start, rows = first_row + rows, index + 1, 0


def _read_parquet(part: Part, columns: Sequence[RawColumn]) -> Iterator[LogBatch]:
    names = _names(columns)
    next_row = part.first_row
    with _parquet_file(part.file) as parquet:
        require_columns(part.file, names, parquet.schema_arrow.names)
        for values in parquet.iter_batches(
            batch_size=BATCH_ROWS, row_groups=part.row_groups, columns=names
        ):
            rows = np.arange(next_row, next_row + values.num_rows)
            next_row += len(rows)
            yield LogBatch(part.file, rows, _as_bytes(values))


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
