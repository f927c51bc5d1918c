"""CSV logs in Arrow batches, every column as text."""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from taskroute.components.logs.bad_rows import BadRow, shorten
from taskroute.components.logs.csv_records import Marks, Records, read_records
from taskroute.components.logs.log_batch import LogBatch, lacking_columns
from taskroute.components.logs.log_files import TextStream
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import STANDARD_CSV, Csv

_OTHER_SEPARATORS = (";", "\t", "|", ",")


def read_csv(
    file: str, columns: Sequence[RawColumn], form: Csv = STANDARD_CSV
) -> Iterator[LogBatch]:
    """Reads columns; one that the file may lack is null.

    Rows that have more or fewer columns than the header are noted as bad.

    Raises:
        DataError: If the file is empty, lacks a column that it must have, or has a quote that never
            closes.
    """
    header = read_header(file, form)
    lacking = lacking_columns(file, columns, header)
    wanted = dict.fromkeys(column.name for column in columns)
    names = [name for name in wanted if name not in lacking]
    marks = Marks(form)
    parser = _Parser(file, names, [header.index(name) for name in names], len(header), marks, form)
    stream = TextStream(file, form.encoding)
    has_header = form.header is True
    next_row = 1
    for records in read_records(file, stream, marks):
        if has_header and len(records):
            records, has_header = records.after(1), False
        if not len(records):
            continue
        batch = parser.parse(records, next_row)
        next_row += len(records)
        if stream.has_bad_bytes:
            batch = batch.without_bad_bytes(_shown(form.encoding))
        yield batch.with_lacking(lacking)


def read_header(file: str, form: Csv = STANDARD_CSV) -> list[str]:
    """Names of the columns.

    Raises:
        DataError: If the file is empty or its first row is no header.
    """
    marks = Marks(form)
    pieces = read_records(file, TextStream(file, form.encoding), marks)
    records = next((piece for piece in pieces if len(piece)), None)
    if records is None:
        first = (
            "a header row with the columns' names must come first"
            if form.header is True
            else "it has no row"
        )
        raise DataError(f"{file}: is empty; {first}")
    if not isinstance(form.header, bool):
        return list(form.header)
    if not form.header:
        return [f"column_{number}" for number in range(1, int(records.columns[0]) + 1)]
    (fields,) = _parse_slowly(records.record(0), marks)
    header = [_original(field, marks) for field in fields]
    if len(header) == 1:
        for separator in _OTHER_SEPARATORS:
            if separator in header[0] and separator != form.delimiter:
                raise DataError(
                    f"{file}: its header is one column, {header[0][:100]!r}; set "
                    f"`source.csv.delimiter` to {separator!r}, as `taskroute init` guesses it"
                )
    return header


def _original(field: str, marks: Marks) -> str:
    return marks.show(field.encode("utf-8", "surrogateescape")).decode(errors="replace")


def _shown(encoding: str) -> str:
    return "UTF-8" if encoding == "utf-8" else encoding


class _Parser:
    """Parses the records of a file into columns."""

    def __init__(
        self,
        file: str,
        names: Sequence[str],
        places: Sequence[int],
        num_columns: int,
        marks: Marks,
        form: Csv,
    ):
        self._file = file
        self._names = list(names)
        self._places = places
        self._num_columns = num_columns
        self._marks = marks
        self._decimal = form.decimal

    def parse(self, records: Records, first_row: int) -> LogBatch:
        """Rows of the records, the first of which has the number `first_row`."""
        is_even = records.columns == self._num_columns
        values = self._parse_text(records.take(is_even), int(is_even.sum()))
        for stand_in, original in self._marks.shown(records.text):
            columns = [pc.replace_substring(c, stand_in, original) for c in values.columns]
            values = pa.RecordBatch.from_arrays(columns, self._names)
        rows = first_row + np.flatnonzero(is_even)
        passed_over = tuple(
            self._uneven_row(records, index, first_row)
            for index in np.flatnonzero(~is_even).tolist()
        )
        return LogBatch(self._file, rows, values, passed_over, len(records), self._decimal)

    def _parse_text(self, text: bytes | memoryview, num_rows: int) -> pa.RecordBatch:
        """Columns of a text of even rows."""
        columns = (
            self._parse_by_arrow(text)
            if num_rows
            else [pa.array([], pa.string())] * len(self._names)
        )
        if columns and len(columns[0]) != num_rows:
            rows = _parse_slowly(bytes(text), self._marks)
            if len(rows) != num_rows or any(len(row) != self._num_columns for row in rows):
                raise RuntimeError(
                    f"{self._file}: {num_rows} rows were counted, and {len(rows)} read; please "
                    "report it"
                )
            columns = [
                pa.array([row[place].encode("utf-8", "surrogateescape") for row in rows]).view(
                    pa.string()
                )
                for place in self._places
            ]
        return pa.RecordBatch.from_arrays(columns, self._names)

    def _parse_by_arrow(self, text: bytes | memoryview) -> list[pa.Array]:
        """Columns of the names, as many rows as Arrow finds."""
        if bytes(text[:3]) == codecs.BOM_UTF8:
            text = b"\n" + bytes(text)  # Arrow would take it for the file's own
        quote = self._marks.quote
        wanted = [str(place) for place in self._places]
        table = pcsv.read_csv(
            pa.BufferReader(pa.py_buffer(text)),
            pcsv.ReadOptions(
                column_names=[str(place) for place in range(self._num_columns)],
                block_size=len(text) + 1,
                use_threads=False,
            ),
            pcsv.ParseOptions(
                delimiter=chr(self._marks.delimiter),
                quote_char=False if quote is None else chr(quote),
                newlines_in_values=True,
            ),
            pcsv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.string()),
                strings_can_be_null=False,
                check_utf8=False,
            ),
        )
        (batch,) = table.to_batches()  # of one block
        return batch.columns

    def _uneven_row(self, records: Records, index: int, first_row: int) -> BadRow:
        problem = f"has {records.columns[index]} columns where the header has {self._num_columns}"
        text = shorten(self._marks.show(records.record(index)))
        return BadRow(self._file, first_row + index, "uneven_row", None, problem, text)


def _parse_slowly(text: bytes, marks: Marks) -> list[list[str]]:
    """Rows as the standard library reads them, with stand-ins as lone surrogates."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader(
        io.StringIO(text.decode("utf-8", "surrogateescape"), newline=""),
        delimiter=chr(marks.delimiter),
        quotechar='"' if marks.quote is None else chr(marks.quote),
        quoting=csv.QUOTE_NONE if marks.quote is None else csv.QUOTE_MINIMAL,
    )
    return [row for row in reader if row]
