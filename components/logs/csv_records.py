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
_PIECE = 1 << 18
_ONE, _LAST = np.uint64(1), np.uint64(63)


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
        if text.isascii() and not self._long_delimiter:
            return []
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

    def take(self, is_taken: np.ndarray) -> bytes | memoryview:
        """Text of the records where `is_taken`, (N,) bool, is set."""
        if is_taken.all():
            return memoryview(self.text)[self.starts[0] : self.ends[-1]]
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
        ends = self._places(_NEWLINE)
        if b"\r" in text:
            ends |= self._places(_RETURN)
        delimiters = self._places(marks.delimiter)
        if marks.quote is not None and marks.quote in text:
            quoted = self._quoted(self._places(marks.quote), ends | delimiters)
            ends &= ~quoted
            delimiters &= ~quoted
        self._ends = _set_places(ends)
        self._delimiters = delimiters

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
        columns = np.diff(self._delimiters_before(ends), prepend=0) + 1
        return Records(self._text, starts, ends, columns), next_start

    def num_records_before(self, place: int) -> int:
        """Number of records that end before a place."""
        records, _ = self.records(is_last=False)
        return int(np.searchsorted(records.ends, place))

    def _delimiters_before(self, places: np.ndarray) -> np.ndarray:
        """Number of delimiters before each of the places, int64."""
        words = np.append(self._delimiters, np.uint64(0))
        at = places >> 6
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(_num_ones(words[:-1]))])
        below = (_ONE << (places & 63).astype(np.uint64)) - _ONE
        return before[at] + _num_ones(words[at] & below)

    def _places(self, code: int) -> np.ndarray:
        """Places of a byte, a bit each, in words of 64."""
        size = len(self._codes)
        bits = np.zeros(-(-size // 64) * 8, np.uint8)
        # Pieces that stay in the processor's cache.
        for start in range(0, size, _PIECE):
            is_there = np.equal(self._codes[start : start + _PIECE], code)
            packed = np.packbits(is_there, bitorder="little")
            bits[start // 8 : start // 8 + len(packed)] = packed
        return bits.view(np.uint64)

    def _quoted(self, quotes: np.ndarray, borders: np.ndarray) -> np.ndarray:
        """Places from a quote that opens a value to the byte before the closing one."""
        quoted = _parity(quotes)
        # Regular if each quote opens a value, closes one, or is half of a doubled quote.
        borders = borders | quotes
        before, after = borders << _ONE, borders >> _ONE
        before[1:] |= borders[:-1] >> _LAST
        after[:-1] |= borders[1:] << _LAST
        before[0] |= _ONE  # a record starts with the text
        size = len(self._codes)
        after[(size - 1) // 64] |= _ONE << np.uint64(
            (size - 1) % 64
        )  # it is not known what follows
        if (quotes & ~(quoted & before | ~quoted & after)).any():
            turns = np.zeros(64 * len(quotes), np.bool_)
            turns[self._turns(_set_places(quotes))] = True
            quoted = _parity(np.packbits(turns, bitorder="little").view(np.uint64))
        self.is_open = bool(quoted[(size - 1) // 64] >> np.uint64((size - 1) % 64) & _ONE)
        return quoted

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
                break  # it is open at the end
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


def _set_places(words: np.ndarray) -> np.ndarray:
    """Places of the set bits, int64."""
    octets = words.view(np.uint8)
    some = np.flatnonzero(octets != 0)
    bits = np.flatnonzero(np.unpackbits(octets[some], bitorder="little").view(np.bool_))
    return (some[bits >> 3] << 3) + (bits & 7)


def _parity(places: np.ndarray) -> np.ndarray:
    """Bits that tell whether the number of set ones up to and with each place is odd."""
    words = places.copy()
    # Doubling steps give the parity within a word; then the words are chained.
    for step in (1, 2, 4, 8, 16, 32):
        words ^= words << np.uint64(step)
    words[1:] ^= np.uint64(0) - np.bitwise_xor.accumulate(words >> _LAST)[:-1]
    return words


def _num_ones(words: np.ndarray) -> np.ndarray:
    """Number of set bits of each word, int64."""
    if hasattr(np, "bitwise_count"):  # numpy 2
        return np.bitwise_count(words).astype(np.int64)
    # Sums of 2, 4 and 8 bits, then of the bytes.
    words = words - (words >> _ONE & np.uint64(0x5555555555555555))
    twos = np.uint64(0x3333333333333333)
    words = (words & twos) + (words >> np.uint64(2) & twos)
    words = words + (words >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (words * np.uint64(0x0101010101010101) >> np.uint64(56)).astype(np.int64)
