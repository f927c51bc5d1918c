"""Reads log files (CSV, JSON Lines, Parquet) in Arrow batches, without TensorFlow or TFX."""

import csv
import difflib
import glob
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from taskroute.components.log_example_gen import conversions, json_lines
from taskroute.schemas.columns import ColumnKind, RawColumn
from taskroute.schemas.errors import DataError

LogFormat = Literal["csv", "jsonl", "parquet"]

BATCH_ROWS = 65_536  # at most, for Parquet
_CSV_BLOCK_BYTES = 4 << 20
_ROWS_PER_PART = 1_000_000
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Part:
    """What one worker reads: a file, or some row groups of a Parquet file."""

    file: Path
    first_row: int = 1
    row_groups: tuple[int, ...] | None = None
    num_rows: int | None = None  # where the file's own index tells


@dataclass(frozen=True)
class LogBatch:
    """Some rows that follow one another in a file, with the columns as the file has them."""

    file: Path
    first_row: int
    values: pa.RecordBatch = field(repr=False)

    @property
    def num_rows(self) -> int:
        return self.values.num_rows

    def convert(self, columns: Sequence[RawColumn]) -> pa.RecordBatch:
        """The columns as list arrays, as `conversions.convert` makes them.

        Raises:
            DataError: At the first value that is not of its column's kind.
        """
        arrays = []
        for column in columns:
            with self.locate(column.name):
                arrays.append(conversions.convert(self.values[column.name], column))
        return pa.RecordBatch.from_arrays(arrays, [column.name for column in columns])

    def seconds(self, column: str) -> np.ndarray:
        """A timestamp column in seconds since 1970, int64.

        Raises:
            DataError: At the first row without a readable timestamp.
        """
        with self.locate(column):
            return conversions.to_seconds(self.values[column])

    def keys(self, column: str) -> pa.Array:
        """A split key as a string array.

        Raises:
            DataError: At the first row without a key.
        """
        with self.locate(column):
            return conversions.to_key(self.values[column])

    @contextmanager
    def locate(self, column: str) -> Iterator[None]:
        """Turns a BadValue of `column` into a DataError that names the file and the row."""
        try:
            yield
        except conversions.BadValue as error:
            row = "" if error.index is None else f"row {self.first_row + error.index}, "
            raise DataError(f"{self.file}: {row}column '{column}': {error.problem}") from None


def list_files(pattern: str) -> list[Path]:
    """Files that a path or a pattern (`*`, `?`, `[...]`, `**`) names, sorted.

    Raises:
        DataError: If there are none.
    """
    if Path(pattern).is_file():
        return [Path(pattern)]
    if Path(pattern).is_dir():
        raise DataError(f"{pattern}: is a folder; name its files, e.g. {pattern.rstrip('/')}/*.csv")
    files = sorted(path for path in map(Path, glob.glob(pattern, recursive=True)) if path.is_file())
    if not files:
        raise DataError(f"{pattern}: no file matches; check `source.path` and `source.test_path`")
    return files


def fingerprint(files: Sequence[Path]) -> str:
    """Digest of names, sizes and times: another one when a file is added, removed or written."""
    digest = hashlib.sha256()
    for file in sorted(files):
        status = file.stat()
        digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def split_into_parts(files: Sequence[Path], log_format: LogFormat) -> list[Part]:
    """What workers read side by side: files, and of large Parquet files groups of row groups.

    Raises:
        DataError: If a Parquet file cannot be opened.
    """
    if log_format != "parquet":
        return [Part(file) for file in files]
    return [part for file in files for part in _parquet_parts(file)]


def read_batches(
    part: Part, columns: Sequence[RawColumn], log_format: LogFormat
) -> Iterator[LogBatch]:
    """Reads the columns of a part, some ten thousand rows at a time, and no other column.

    Args:
        part: As `split_into_parts` makes them; `Part(file)` for a whole file.
        columns: What to read; a name may occur more than once.
        log_format: Of the file; CSV and JSON Lines are unpacked where the name ends in .gz.

    Raises:
        DataError: If the file cannot be read or lacks a column.
    """
    read = {"csv": _read_csv, "jsonl": _read_json_lines, "parquet": _read_parquet}[log_format]
    first_row = part.first_row
    with _say_what_is_wrong(part.file):
        for values in read(part, columns):
            yield LogBatch(part.file, first_row, values)
            first_row += values.num_rows


def sample_batches(
    files: Sequence[Path], columns: Sequence[RawColumn], log_format: LogFormat, rows: int = 10_000
) -> Iterator[LogBatch]:
    """The first rows of the log, read without the rest.

    Raises:
        DataError: If a file cannot be read or lacks a column.
    """
    for file in files:
        for batch in read_batches(Part(file), columns, log_format):
            yield LogBatch(batch.file, batch.first_row, batch.values.slice(0, rows))
            rows -= batch.num_rows
            if rows <= 0:
                return


@contextmanager
def _say_what_is_wrong(file: Path) -> Iterator[None]:
    """Turns what the system or Arrow says of a broken file into one sentence."""
    try:
        yield
    except UnicodeDecodeError:
        raise DataError(f"{file}: is not UTF-8 text") from None
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        if "invalid UTF8" in reason:
            raise DataError(f"{file}: is not UTF-8 text") from None
        raise DataError(f"{file}: cannot be read: {reason}") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
        if "Truncated compressed stream" in reason:
            reason = "the compressed data ends too early; copy the file again"
        elif "inflate failed" in reason:
            reason = "it is not gzip data, or is damaged"
        raise DataError(f"{file}: cannot be read: {reason}") from None


def _open(file: Path) -> pa.NativeFile:
    source = pa.OSFile(str(file))
    return pa.CompressedInputStream(source, "gzip") if file.suffix == ".gz" else source


def _names(columns: Sequence[RawColumn]) -> list[str]:
    return list(dict.fromkeys(column.name for column in columns))


def _require(file: Path, wanted: Sequence[str], present: Sequence[str]) -> None:
    for name in wanted:
        if name not in present:
            by_lower = {other.strip().lower(): other for other in present}
            close = difflib.get_close_matches(name.lower(), by_lower, n=1)
            hint = f"; did you mean '{by_lower[close[0]]}'?" if close else ""
            raise DataError(f"{file}: there is no column '{name}'{hint}")
        if list(present).count(name) > 1:
            raise DataError(f"{file}: column '{name}' occurs more than once; rename one of them")


def _read_csv(part: Part, columns: Sequence[RawColumn]) -> Iterator[pa.RecordBatch]:
    names = _names(columns)
    _require(part.file, names, _csv_header(part.file))
    uneven: list[pcsv.InvalidRow] = []

    def stop_at(row: pcsv.InvalidRow) -> str:
        uneven.append(row)
        return "error"

    try:
        # One thread: only then does Arrow number the rows.
        yield from pcsv.open_csv(
            _open(part.file),
            pcsv.ReadOptions(block_size=_CSV_BLOCK_BYTES, use_threads=False),
            pcsv.ParseOptions(newlines_in_values=True, invalid_row_handler=stop_at),
            pcsv.ConvertOptions(
                include_columns=names,
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if uneven:
            row = uneven[0]
            raise DataError(
                f"{part.file}: row {row.number - 1} has {row.actual_columns} columns where the "
                f"header has {row.expected_columns}"
            ) from None
        if "straddling" in str(error):
            raise DataError(
                f"{part.file}: a row is longer than 4 MB; is there a quote that never closes?"
            ) from None
        raise


def _csv_header(file: Path) -> list[str]:
    try:
        with io.TextIOWrapper(_open(file), encoding="utf-8-sig", newline="") as text:
            header = next(csv.reader(text), None)
    except csv.Error as error:
        raise DataError(f"{file}: its header row cannot be read: {error}") from None
    if header is None:
        raise DataError(f"{file}: is empty; a header row with the columns' names must come first")
    return header


def _read_json_lines(part: Part, columns: Sequence[RawColumn]) -> Iterator[pa.RecordBatch]:
    kinds: dict[str, ColumnKind] = {}
    for column in columns:
        # Read in two ways, the value must be kept as it is written.
        first = kinds.setdefault(column.name, column.kind)
        kinds[column.name] = column.kind if first == column.kind else "text"
    parser = json_lines.BlockParser(kinds)
    row = 0
    try:
        for block in json_lines.split_blocks(_open(part.file)):
            if row == 0:
                block = block.removeprefix(_BOM)
                _require_keys(part.file, list(kinds), parser.keys(block))
            batch = parser.parse(block)
            yield batch
            row += batch.num_rows
    except json_lines.BadLine as error:
        place = f", column '{error.column}': it " if error.column else " "
        raise DataError(f"{part.file}: row {row + error.row + 1}{place}{error.problem}") from None
    except json_lines.LongLine:
        raise DataError(
            f"{part.file}: a line is longer than 64 MB; each row must be one line"
        ) from None
    if row == 0:
        raise DataError(f"{part.file}: is empty; each line must be a JSON object")


def _require_keys(file: Path, wanted: Sequence[str], first_keys: set[str]) -> None:
    """A key that the first lines lack may come later: labels of rare events often do."""
    for name in wanted:
        if name not in first_keys and not _occurs(file, f'"{name}"'.encode()):
            _require(file, [name], sorted(first_keys))


def _occurs(file: Path, text: bytes) -> bool:
    return any(text in block for block in json_lines.split_blocks(_open(file)))


def _parquet_file(file: Path) -> pq.ParquetFile:
    if file.stat().st_size == 0:
        raise DataError(f"{file}: is empty")
    try:
        return pq.ParquetFile(file)
    except pa.ArrowInvalid:
        raise DataError(f"{file}: is not a Parquet file, or is cut off") from None


def _parquet_parts(file: Path) -> Iterator[Part]:
    with _say_what_is_wrong(file), _parquet_file(file) as parquet:
        sizes = [
            parquet.metadata.row_group(index).num_rows
            for index in range(parquet.metadata.num_row_groups)
        ]
    first_row, start, rows = 1, 0, 0
    for index, size in enumerate(sizes):
        rows += size
        if rows >= _ROWS_PER_PART or index == len(sizes) - 1:
            yield Part(file, first_row, tuple(range(start, index + 1)), rows)
            first_row, start, rows = first_row + rows, index + 1, 0


def _read_parquet(part: Part, columns: Sequence[RawColumn]) -> Iterator[pa.RecordBatch]:
    names = _names(columns)
    with _parquet_file(part.file) as parquet:
        _require(part.file, names, parquet.schema_arrow.names)
        yield from parquet.iter_batches(
            batch_size=BATCH_ROWS, row_groups=part.row_groups, columns=names
        )
