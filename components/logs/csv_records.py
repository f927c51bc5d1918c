"""Records of CSV text, found and counted by their line ends, delimiters and quotes.

Arrow 18 is not safe on any text: a zero byte hides the line end after it, and a row with too many
columns is written past the end of a buffer. So the records are found here, in numpy, and Arrow
gets the even ones only; it then has to return as many rows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from taskroute.components.logs.log_files import TextStream
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import Csv

BLOCK_BYTES = 2 << 20  # also the longest record
_NEWLINE, _RETURN = b"\n"[0], b"\r"[0]
_BACKSLASH_QUOTE = b'\\"'
_UNIT_SEPARATOR = b"\x1f"


class Marks:
    """Bytes that structure a file.

    What a parser must not see as such is replaced by a byte that UTF-8 never has: zero bytes,
    escaped characters, and the parts of a delimiter that is longer than one byte.
    """

    def __init__(self, form: Csv):
        quote = form.quote.encode() if form.quote else b""
        self.quote: int | None = quote[0] if quote else None
        self.may_be_escaped = form.escape is None and form.quote == '"'
        delimiter = form.delimiter.encode()
        self._long_delimiter = delimiter if len(delimiter) > 1 else b""
        self.delimiter: int = (_UNIT_SEPARATOR if self._long_delimiter else delimiter)[0]
        self._escape = (form.escape_character or "").encode()
        # Originals and stand-ins, in the order of replacement.
        pairs = [(b"\0", b"\xf8"), (b"\r", b"\xf9"), (b"\n", b"\xfa")]
        pairs += [(quote, b"\xfb")] if quote else []
        pairs += [(self._escape, b"\xfc")] if self._escape else []
        pairs += [(delimiter, b"\xfd")]
        pairs += [(_UNIT_SEPARATOR, b"\xfe")] if self._long_delimiter else []
        self._stand_ins = dict(pairs)
        self._escaped = re.compile(
            re.escape(self._escape)
            + b"(\r\n|"
            + b"|".join(re.escape(original) for original, _ in pairs[1:] if original)
            + b")"
        )

    def hide(self, text: bytes) -> bytes:
        """Text with stand-ins."""
        if b"\0" in text:
            text = text.replace(b"\0", self._stand_ins[b"\0"])
        if self._escape and self._escape in text:
            text = self._escaped.sub(self._hide_escaped, text)
        if self._long_delimiter:
            text = text.replace(_UNIT_SEPARATOR, self._stand_ins[_UNIT_SEPARATOR])
            text = text.replace(self._long_delimiter, _UNIT_SEPARATOR)
        return text

    def num_undecided(self, text: bytes) -> int:
        """Number of bytes at the end that what follows may change."""
        sizes = range(len(self._long_delimiter) - 1, 0, -1)
        size = next((size for size in sizes if text.endswith(self._long_delimiter[:size])), 0)
        if self._escape:
            size = size or int(text.endswith(b"\r"))
            text = text[: len(text) - size]
            size += (len(text) - len(text.rstrip(self._escape))) % 2
        return size

    def shown(self, text: bytes) -> list[tuple[bytes, bytes]]:
        """Stand-ins that occur in a text, each with its original."""
        pairs = [(stand_in, original) for original, stand_in in self._stand_ins.items()]
        if self._long_delimiter:  # inside of quotes
            pairs.insert(0, (_UNIT_SEPARATOR, self._long_delimiter))
        return [pair for pair in pairs if pair[0] in text]

    def show(self, text: bytes) -> bytes:
        """The original of a text with stand-ins."""
        for stand_in, original in self.shown(text):
            text = text.replace(stand_in, original)
        return text

    def _hide_escaped(self, match: re.Match[bytes]) -> bytes:
        characters = match[1]
        if characters == b"\r\n":
            return self._stand_ins[b"\r"] + self._stand_ins[b"\n"]
        return self._stand_ins[characters]


@dataclass(frozen=True)
class Records:
    """Records of a piece of a file that are not blank.

    `starts` and `ends`, (N,), are their places in `text`, line ends left out; `columns`, (N,), the
    numbers of their columns.
    """

    text: bytes
    starts: np.ndarray
    ends: np.ndarray
    columns: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def record(self, index: int) -> bytes:
        """Text of a record."""
        return self.text[self.starts[index] : self.ends[index]]

    def after(self, index: int) -> "Records":
        """Records from `index` on."""
        return Records(self.text, self.starts[index:], self.ends[index:], self.columns[index:])

    def take(self, is_taken: np.ndarray) -> bytes:
        """Text of the records where `is_taken`, (N,) bool, is set, each with a line end."""
        if is_taken.all():
            text = self.text[self.starts[0] : self.ends[-1]] if len(self) else b""
            return text + b"\n"
        # Runs of records that stand one after the other are one slice.
        steps = np.diff(np.concatenate([[False], is_taken, [False]]).astype(np.int8))
        runs = zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1, strict=True)
        return b"".join(self.text[self.starts[a] : self.ends[b]] + b"\n" for a, b in runs)


def read_records(file: str, stream: TextStream, marks: Marks) -> Iterator[Records]:
    """Cuts a file into pieces of whole records; a piece may have none.

    Raises:
        DataError: If a record is too long, a quote never closes, or quotes are escaped otherwise
            than `marks` say.
    """
    rest, undecided, num_read = b"", b"", 0
    is_last = False
    while not is_last:
        chunk = stream.read(BLOCK_BYTES)
        is_last = len(chunk) < BLOCK_BYTES
        chunk = undecided + chunk
        size = 0 if is_last else marks.num_undecided(chunk)
        chunk, undecided = chunk[: len(chunk) - size], chunk[len(chunk) - size :]
        text = rest + marks.hide(chunk) if rest else marks.hide(chunk)
        scan = _Scan(text, marks)
        if scan.escape_at is not None:
            row = num_read + scan.num_records_before(scan.escape_at)
            raise DataError(
                f"{file}: {_name(row)} seems to escape quotes by a backslash; say so with "
                '`source.csv.escape: "\\\\"`, or `escape: ""` where a backslash is plain text'
            )
        if is_last and scan.is_open:
            row = num_read + scan.num_records_before(len(text))
            raise DataError(
                f"{file}: {_name(row)} opens a quote that never closes; mend or remove it"
            )
        records, end = scan.records(is_last)
        rest = text[end:]
        if len(rest) > BLOCK_BYTES:
            raise DataError(
                f"{file}: a row is longer than 2 MB; is there a quote that never closes?"
            )
        num_read += len(records)
        yield records


def _name(row: int) -> str:
    return f"row {row}" if row else "its header row"


class _Scan:
    """Places of line ends, delimiters and quotes in a text that starts with a record."""

    def __init__(self, text: bytes, marks: Marks):
        self._text = text
        self._codes = np.frombuffer(text, np.uint8)
        self._marks = marks
        self.is_open = False  # a quote, at the end of the text
        self.escape_at: int | None = None
        is_end = self._codes == _NEWLINE
        if b"\r" in text:
            is_end |= self._codes == _RETURN
        self._is_delimiter = self._codes == marks.delimiter
        if marks.quote is not None and marks.quote in text:
            is_plain = self._is_plain(marks.quote)
            is_end &= is_plain
            self._is_delimiter &= is_plain
        self._ends = np.flatnonzero(is_end)

    def records(self, is_last: bool) -> tuple[Records, int]:
        """Whole records, and the place where the next one starts."""
        ends = self._ends
        size = len(self._text)
        if is_last and size and (not len(ends) or ends[-1] != size - 1):
            ends = np.append(ends, size)
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])[: len(ends)]
        is_blank = ends <= starts
        if is_blank.any():
            starts, ends = starts[~is_blank], ends[~is_blank]
        next_start = size if is_last else int(self._ends[-1]) + 1 if len(self._ends) else 0
        if not len(starts):
            return Records(self._text, starts, ends, starts), next_start
        counted = self._is_delimiter[:next_start]
        columns = np.add.reduceat(counted, starts, dtype=np.int32) + np.int32(1)
        return Records(self._text, starts, ends, columns), next_start

    def num_records_before(self, place: int) -> int:
        """Number of records that end before a place."""
        records, _ = self.records(is_last=False)
        return int(np.searchsorted(records.ends, place))

    def _is_plain(self, quote: int) -> np.ndarray:
        """(size,) bool: False inside of quotes."""
        is_quote = self._codes == quote
        places = np.flatnonzero(is_quote)
        if self._are_regular(places, quote):
            self.is_open = len(places) % 2 == 1
            turns = is_quote.view(np.uint8)
        else:
            turns = np.zeros(len(self._codes), np.uint8)
            turns[self._turns(places)] = 1
        return np.bitwise_xor.accumulate(turns).view(np.bool_) ^ True

    def _are_regular(self, places: np.ndarray, quote: int) -> bool:
        """True if each quote opens a value, closes one, or is half of a doubled quote."""
        is_border = np.zeros(256, np.bool_)
        is_border[[quote, self._marks.delimiter, _NEWLINE, _RETURN]] = True
        opens, closes = places[0::2], places[1::2]
        before = is_border[self._codes[np.maximum(opens - 1, 0)]]
        before[0] |= opens[0] == 0
        if not before.all():
            return False
        closes = closes[closes < len(self._codes) - 1]
        return bool(is_border[self._codes[closes + 1]].all())

    def _turns(self, quotes: np.ndarray) -> list[int]:
        """Places of the quotes that open and close values, one by one.

        A quote in a value without quotes is text, and so is what follows a closing quote.
        """
        text, borders = self._text, bytes([self._marks.delimiter, _NEWLINE, _RETURN])
        places = quotes.tolist()
        turns: list[int] = []
        index = 0
        while index < len(places):
            start = places[index]
            index += 1
            if start and text[start - 1] not in borders:
                continue
            turns.append(start)
            while index + 1 < len(places) and places[index + 1] == places[index] + 1:
                index += 2
            if index == len(places):
                self.is_open = True
                break
            close = places[index]
            turns.append(close)
            index += 1
            is_torn = close + 1 < len(text) and text[close + 1] not in borders
            if (
                is_torn
                and self._marks.may_be_escaped
                and _BACKSLASH_QUOTE in text[start : close + 1]
            ):
                self.escape_at = start if self.escape_at is None else self.escape_at
        return turns
