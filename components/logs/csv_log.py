"""CSV logs in Arrow batches, every column as text."""

import csv
import io
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv

from taskroute.components.logs.bad_rows import BadRow, shorten
from taskroute.components.logs.log_batch import LogBatch, require_columns
from taskroute.components.logs.log_files import TextStream
from taskroute.schemas.errors import DataError

# Small, because Arrow reads up to 32 blocks ahead of its parser.
_BLOCK_BYTES = 2 << 20
_HEADER_BYTES = 1 << 20
_OTHER_SEPARATORS = (";", "\t", "|")
_END = "end of the file, not a row"


def read_csv(file: str, names: Sequence[str]) -> Iterator[LogBatch]:
    """Reads the named columns.

    Rows that have more or fewer columns than the header are noted as bad.

    Raises:
        DataError: If the file is empty, lacks a column, or has a quote that never closes.
    """
    header = read_header(file)
    require_columns(file, names, header)
    uneven = _UnevenRows(file, len(header))
    stream = TextStream(file, end=f"\n{uneven.end}\n".encode())
    next_row = 1
    try:
        # One thread: only then does Arrow number the rows.
        reader = pcsv.open_csv(
            pa.PythonFile(stream, mode="r"),
            pcsv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            pcsv.ParseOptions(newlines_in_values=True, invalid_row_handler=uneven.note),
            pcsv.ConvertOptions(
                include_columns=list(names),
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
                check_utf8=False,
            ),
        )
        for values in reader:
            rows, passed_over = uneven.number(next_row, values.num_rows)
            next_row += len(rows) + len(passed_over)
            batch = LogBatch(file, rows, values, passed_over)
            yield batch.without_bad_bytes() if stream.has_bad_bytes else batch
    except pa.ArrowInvalid as error:
        if "straddling" in str(error):
            raise DataError(
                f"{file}: a row is longer than 2 MB; is there a quote that never closes?"
            ) from None
        raise
    if not uneven.is_ended:
        raise DataError(
            f"{file}: row {next_row - 1} opens a quote that never closes; mend or remove it"
        )
    _, passed_over = uneven.number(next_row, 0)
    if passed_over:
        nothing = pa.RecordBatch.from_pylist([], schema=reader.schema)
        yield LogBatch(file, np.empty(0, np.int64), nothing, passed_over)


def read_header(file: str) -> list[str]:
    """Names of the columns.

    Raises:
        DataError: If the file is empty or its first row is no header.
    """
    stream = TextStream(file)
    head = b""
    while len(head) < _HEADER_BYTES and (chunk := stream.read()):
        head += chunk
    text = io.StringIO(head.decode(errors="replace"), newline="")
    try:
        header = next((names for names in csv.reader(text) if names), None)
    except csv.Error as error:
        raise DataError(f"{file}: its header row cannot be read: {error}") from None
    if header is None:
        raise DataError(f"{file}: is empty; a header row with the columns' names must come first")
    if len(header) == 1:
        for separator in _OTHER_SEPARATORS:
            if separator in header[0]:
                raise DataError(
                    f"{file}: its header is one column, '{header[0][:100]}'; write commas between "
                    f"the columns, not {separator!r}"
                )
    return header


class _UnevenRows:
    """Rows of another number of columns than the header; Arrow reports them before their block.

    After a quote that never closes, Arrow takes the rest of the file for one value, silently. So
    `end`, an uneven row, is added to the file: if Arrow does not report it, a quote is open.
    """

    def __init__(self, file: str, num_columns: int):
        self.end = _END + "," * num_columns
        self.is_ended = False
        self._file = file
        self._num_columns = num_columns
        self._rows: list[pcsv.InvalidRow] = []

    def note(self, row: pcsv.InvalidRow) -> str:
        if row.text == self.end:
            self.is_ended = True
        else:
            self._rows.append(row)
        return "skip"

    def number(self, next_row: int, num_rows: int) -> tuple[np.ndarray, tuple[BadRow, ...]]:
        """Numbers of the next even rows, and the uneven rows among and right after them."""
        uneven = np.asarray([row.number - 1 for row in self._rows], np.int64)  # without the header
        numbers = np.arange(next_row, next_row + num_rows + len(uneven))
        even = np.setdiff1d(numbers, uneven, assume_unique=True)[:num_rows]
        after = int(even[-1]) + 1 if num_rows else next_row
        num_passed = 0
        for number in uneven.tolist():
            num_passed += number <= after
            after += number == after
        passed_over, self._rows = self._rows[:num_passed], self._rows[num_passed:]
        return even, tuple(self._bad_row(row) for row in passed_over)

    def _bad_row(self, row: pcsv.InvalidRow) -> BadRow:
        problem = f"has {row.actual_columns} columns where the header has {self._num_columns}"
        return BadRow(self._file, row.number - 1, "uneven_row", None, problem, shorten(row.text))
