"""Sample of a log: rows from all over its files, in the order of the log.

A log is sorted by time, more often than not: its first rows are its oldest, and say nothing of a
column that came later or of an outcome that was rare at first.
"""

import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from taskroute.components.logs import log_files, log_reader
from taskroute.components.logs.bad_rows import BadRowCounts
from taskroute.components.logs.log_batch import LogBatch
from taskroute.components.logs.log_reader import LogFormat, Part
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import STANDARD_CSV, Csv

SAMPLE_ROWS = 50_000

# Text that is read whole, because that takes about a second; of more, pieces are read.
_WHOLE_BYTES = 128 << 20
_WHOLE_FILES = 1_000
_FILES = 50  # of a log of more
_PIECES = 20  # of all files of text together
_FROM_BYTE = " from byte "
_ROW_GROUPS = 50
_PROBED_BYTES = 64 << 10
_LEAST_PIECE = 64 << 10
# Rows of a Parquet file, or of text that can only be read from its start.
_DECODED_ROWS = 2_000_000


@dataclass
class Sample:
    """Rows from all over a log.

    Attributes:
        batches: Rows in the order of the log.
        seen: Number of rows that were gone through for them, the unreadable ones included.
        total: Number of rows of the log; an estimate unless `is_exact`.
        is_exact: True if every row was counted.
        is_cut: True if all rows come from the first `total` ones, for a file can only be read
            from its start.
        unreadable: Rows, of those gone through, that the reader passed over.
    """

    batches: list[LogBatch] = field(default_factory=list)
    seen: int = 0
    total: int = 0
    is_exact: bool = True
    is_cut: bool = False
    unreadable: BadRowCounts = field(default_factory=BadRowCounts)

    @property
    def num_rows(self) -> int:
        """Number of rows of the sample, the unreadable ones included."""
        return sum(batch.num_rows + len(batch.passed_over) for batch in self.batches)

    @property
    def is_whole(self) -> bool:
        """True if the log has no other rows."""
        return self.is_exact and self.num_rows == self.total


def some_files(files: Sequence[str]) -> list[str]:
    """Fifty of the files, or all of fewer: the first, the last, and others evenly between."""
    if len(files) <= _FILES:
        return list(files)
    return [files[index] for index in np.linspace(0, len(files) - 1, _FILES).round().astype(int)]


def file_of(batch: LogBatch) -> str:
    """Name of the file that a batch comes from; `batch.file` may say from where in it."""
    return batch.file.partition(_FROM_BYTE)[0]


def extent(num_rows: int, total: int, of: str, *, is_exact: bool, is_cut: bool = False) -> str:
    """Words for a sample: "all 600 rows of log.csv", or how many of them, "from all over".

    Args:
        num_rows: Number of rows of the sample.
        total: Number of rows of the log.
        of: Words for the log.
        is_exact: Whether every row of the log was counted.
        is_cut: Whether the rows come from the first `total` ones of the log.
    """
    if is_cut:
        return f"{num_rows:,} of the first {total:,} rows of {of}"
    if is_exact and num_rows == total:
        return f"all {num_rows:,} rows of {of}"
    about = "" if is_exact else "about "
    return f"{num_rows:,} of {about}{total:,} rows of {of}, from all over"


def read_sample(
    files: Sequence[str],
    columns: Sequence[RawColumn],
    log_format: LogFormat,
    rows: int = SAMPLE_ROWS,
    form: Csv = STANDARD_CSV,
) -> Sample:
    """Reads about as many rows as asked, evenly from all over the files; all where there are fewer.

    Args:
        files: Files of the log, in its order.
        columns: Columns to read.
        log_format: Format of the files.
        rows: Number of rows; there may be up to twice as many.
        form: Form of CSV files.

    Raises:
        DataError: If a file cannot be read or lacks a column.
    """
    thinner = _Thinner(2 * rows)
    chosen = list(files)
    if log_format == "parquet":
        chosen = some_files(files)
        _read_parquet(chosen, columns, rows, thinner)
    else:
        sizes = [_size(file) for file in files]
        if sum(sizes) <= _WHOLE_BYTES and len(files) <= _WHOLE_FILES:
            _read_whole(chosen, columns, log_format, form, thinner)
        else:
            chosen = some_files(files)
            _read_pieces(chosen, columns, log_format, form, rows, thinner)
    sample = thinner.sample
    if len(chosen) < len(files):
        sample.is_exact = False
        sample.total = sample.total * len(files) // len(chosen)
    return sample


class _Thinner:
    """Keeps every row, then every second, every fourth, ... of those that come, by their number."""

    def __init__(self, most_rows: int):
        self.sample = Sample()
        self._most_rows = most_rows
        self._stride = 1
        self._kept: list[tuple[int, LogBatch]] = []  # with the number of rows before the file

    def add(self, batch: LogBatch, before: int) -> None:
        """Adds rows of a file, of which `before` rows come in other files."""
        sample = self.sample
        sample.seen += batch.num_rows + len(batch.passed_over)
        sample.unreadable.add(batch.passed_over)
        self._kept.append((before, _every(batch, self._stride, before)))
        sample.batches = [batch for _, batch in self._kept]
        while sample.num_rows > self._most_rows:
            self._stride *= 2
            self._kept = [(start, _every(kept, self._stride, start)) for start, kept in self._kept]
            sample.batches = [batch for _, batch in self._kept]


def _every(batch: LogBatch, stride: int, before: int) -> LogBatch:
    if stride == 1:
        return batch
    is_kept = (batch.rows - 1 + before) % stride == 0
    passed_over = tuple(bad for bad in batch.passed_over if (bad.row - 1 + before) % stride == 0)
    values = batch.values.filter(pa.array(is_kept))
    return replace(batch, rows=batch.rows[is_kept], values=values, passed_over=passed_over)


def _size(file: str) -> int:
    with log_files.say_what_is_wrong(file), log_files.open_file(file) as opened:
        return int(opened.size())


def _read_whole(
    files: Sequence[str],
    columns: Sequence[RawColumn],
    log_format: LogFormat,
    form: Csv,
    thinner: _Thinner,
) -> None:
    sample = thinner.sample
    for file in files:
        before = sample.seen
        is_cut = False
        for batch in log_reader.read_batches(Part(file), columns, log_format, form):
            thinner.add(batch, before)
            # Of a packed file its size says little.
            is_cut = sample.seen - before > _DECODED_ROWS and file.endswith(".gz")
            if is_cut:
                break
        sample.is_exact &= not is_cut
        sample.is_cut |= is_cut
    sample.total = sample.seen


def _read_parquet(
    files: Sequence[str], columns: Sequence[RawColumn], rows: int, thinner: _Thinner
) -> None:
    """Reads row groups from all over the files, of large ones the first rows."""
    groups = log_reader.split_into_parts(files, "parquet", rows_per_part=1)
    sizes = [part.num_rows or 0 for part in groups]
    total = sum(sizes)
    starts = np.cumsum([0, *sizes])
    some = range(len(groups))
    if total > 2 * rows and len(groups) > _ROW_GROUPS:
        some = np.unique(np.linspace(0, len(groups) - 1, _ROW_GROUPS).round().astype(int)).tolist()
    most = max(_DECODED_ROWS // max(len(some), 1), log_reader.BATCH_ROWS)
    first_rows: dict[str, int] = {}
    for index, part in enumerate(groups):
        first_rows.setdefault(part.file, int(starts[index]))
        if index not in some:
            continue
        read = 0
        for batch in log_reader.read_batches(part, columns, "parquet"):
            thinner.add(batch, first_rows[part.file])
            read += batch.num_rows
            if read >= most:
                break
    thinner.sample.total = total


def _read_pieces(
    files: Sequence[str],
    columns: Sequence[RawColumn],
    log_format: LogFormat,
    form: Csv,
    rows: int,
    thinner: _Thinner,
) -> None:
    """Reads pieces from all over large files of text, each from a line's start."""
    sample = thinner.sample
    sample.is_exact = False
    num_pieces = max(_PIECES // len(files), 1)
    each = -(-rows // len(files))
    for file in files:
        seen = sample.seen
        num_bytes = 0
        if _can_be_entered(file, form):
            text = _Text(file, form, is_csv=log_format == "csv")
            for batch, length in _batches_of_pieces(text, columns, log_format, num_pieces, each):
                thinner.add(batch, sample.seen)
                num_bytes += length
        if sample.seen > seen:
            sample.total += round((sample.seen - seen) * text.size / num_bytes)
            continue
        for batch in log_reader.read_batches(Part(file), columns, log_format, form):
            thinner.add(batch, seen)
            if sample.seen - seen > _DECODED_ROWS // len(files):
                sample.is_cut = True
                break
        sample.total += sample.seen - seen


def _batches_of_pieces(
    text: "_Text", columns: Sequence[RawColumn], log_format: LogFormat, number: int, rows: int
) -> Iterator[tuple[LogBatch, int]]:
    """Batches from pieces of a file, and the bytes of each piece with its first batch."""
    names = log_reader.names_in(text.file, log_format, text.form)
    # A key may be missing in a piece and stand elsewhere.
    wanted = [replace(c, need="no_file") if c.name in names else c for c in columns]
    with tempfile.TemporaryDirectory() as folder:
        for start, piece in text.pieces(number, rows):
            name = Path(folder) / Path(text.file).name
            name.write_bytes(piece if not start else text.header + piece)
            place = f"{text.file}{_FROM_BYTE}{start:,}" if start else text.file
            length = len(piece)
            try:
                for batch in log_reader.read_batches(
                    Part(str(name)), wanted, log_format, text.form
                ):
                    bad = tuple(row._replace(file=place) for row in batch.passed_over)
                    lacking = tuple(name for name in batch.lacking if name not in names)
                    yield replace(batch, file=place, passed_over=bad, lacking=lacking), length
                    length = 0
            except DataError as error:
                if not start:
                    raise DataError(str(error).replace(str(name), text.file)) from None
                continue  # it was entered within a value


def _can_be_entered(file: str, form: Csv) -> bool:
    """True if text can be read from the middle: it is not packed, and a line end is one byte."""
    if form.escape_character or form.header is not True or "\n".encode(form.encoding) != b"\n":
        return False
    with log_files.say_what_is_wrong(file), log_files.open_file(file) as opened:
        start = opened.read(4)
    return not file.endswith(".gz") and start[:2] not in (b"\xff\xfe", b"\xfe\xff")


class _Text:
    """A large file of lines, and pieces of it.

    A line end within quotes is none of a row. Whether a place is within quotes cannot be seen from
    there, so both are tried, and the one is taken whose next rows have the header's columns.
    """

    def __init__(self, file: str, form: Csv, *, is_csv: bool):
        self.file = file
        self.form = form
        self._quote = (form.quote or "").encode() if is_csv else b""
        self.size = _size(file)
        start = self._read(0, 1 << 20)
        self.header = b""
        if is_csv:
            blank = len(start) - len(start.lstrip(b"\r\n"))
            self.header = start[: blank + _end_of_row(start[blank:], self._quote, within=False)]
            self._num_columns = len(next(_rows(self.header, form), []))

    def pieces(self, number: int, rows: int) -> Iterator[tuple[int, bytes]]:
        """Pieces with about so many rows together, each with its first byte."""
        places = np.linspace(0, max(self.size - _PROBED_BYTES, 0), number + 1).astype(int)
        probes = [self._read(place, _PROBED_BYTES) for place in places.tolist()]
        per_row = sum(map(len, probes)) / max(sum(probe.count(b"\n") for probe in probes), 1)
        length = max(round(rows / number * per_row), _LEAST_PIECE)
        last = max(self.size - length, 0)
        for place in np.unique(np.linspace(0, last, number).astype(int)).tolist():
            text = self._read(place, length)
            start = 0 if place == 0 else self._start(text)
            end = len(text) if place == last else _last_end(text, start, self._quote)
            if start < end:
                yield place + start, text[start:end]

    def _read(self, place: int, length: int) -> bytes:
        with log_files.say_what_is_wrong(self.file), log_files.open_file(self.file) as opened:
            opened.seek(place)
            return bytes(opened.read(length))

    def _start(self, text: bytes) -> int:
        """Place of the first row that begins in a text from the middle of the file."""
        if not self._quote or self._quote not in text:
            return text.find(b"\n") + 1 or len(text)
        starts = [_end_of_row(text, self._quote, within=within) for within in (False, True)]
        return max(starts, key=lambda start: self._share_of_even_rows(text[start:]))

    def _share_of_even_rows(self, text: bytes) -> float:
        rows = list(_rows(text[: 4 * _PROBED_BYTES], self.form))[:-1]
        return sum(len(row) == self._num_columns for row in rows) / max(len(rows), 1)


def _rows(text: bytes, form: Csv) -> Iterator[list[str]]:
    lines = io.StringIO(text.decode("latin-1"), newline="")
    quoting = csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE
    marks: dict[str, Any] = {"quotechar": form.quote, "quoting": quoting}
    try:
        # One sign of the delimiter counts columns as well as all of them, the same for every row.
        yield from (row for row in csv.reader(lines, delimiter=form.delimiter[0], **marks) if row)
    except csv.Error:
        return


def _end_of_row(text: bytes, quote: bytes, *, within: bool) -> int:
    """Place after the first line end outside quotes."""
    ends = _line_ends(text, quote, within=within)
    return int(ends[0]) + 1 if len(ends) else len(text)


def _last_end(text: bytes, start: int, quote: bytes) -> int:
    if not quote or quote not in text:
        return text.rfind(b"\n") + 1
    ends = _line_ends(text[start:], quote, within=False)
    return start + int(ends[-1]) + 1 if len(ends) else start


def _line_ends(text: bytes, quote: bytes, *, within: bool) -> np.ndarray:
    """Places of line ends outside quotes; `within` says whether the text begins inside them."""
    content = np.frombuffer(text, np.uint8)
    num_quotes = np.cumsum(content == (quote[0] if quote else -1)) + within
    return np.flatnonzero((content == ord("\n")) & (num_quotes % 2 == 0))
