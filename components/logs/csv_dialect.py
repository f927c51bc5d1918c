"""Guess of a CSV file's form: encoding, delimiter, quotes, decimal mark, header."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from taskroute.components.logs.csv_encoding import guess_encoding
from taskroute.components.logs.log_files import open_unpacked, say_what_is_wrong
from taskroute.schemas.source import Csv

_SAMPLE_BYTES = 1 << 20
_SAMPLE_ROWS = 1000
_DELIMITERS = (",", ";", "\t", "|", "\x01", "::", "||")  # the first of equals
_STAND_IN = "\x1f"  # for delimiters that the csv module does not take
_LONG_FIELD = 1 << 24
# Share of rows that must agree for a delimiter to be one.
_FEW_AGREE = 0.5

_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+|[+-]?\d{1,3}([. \u00a0\u202f']\d{3})+(,\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}([,.]\d{3})+")  # 1,234: decimals or thousands?
_POINT_NUMBER = re.compile(r"[+-]?\d*\.\d+")
_DIGITS_FIRST = re.compile(r"[+-]?[\d.,:/ TZ+-]*\d[\d.,:/ TZ+-]*")  # numbers, days and times


def guess_csv(file: str) -> Csv:
    """Form of a CSV file, from its first MB.

    Raises:
        DataError: If the file cannot be read.
    """
    with say_what_is_wrong(file):
        stream = open_unpacked(file)
        head = b""
        while len(head) < _SAMPLE_BYTES and (chunk := stream.read(_SAMPLE_BYTES - len(head))):
            head += chunk
        stream.close()
    encoding = guess_encoding(head)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    is_whole = len(head) < _SAMPLE_BYTES
    form = _best_form(text.removeprefix("\ufeff").replace("\0", ""), is_whole)
    decimal = _decimal(form.rows)
    return Csv(
        delimiter=form.delimiter,
        encoding=encoding,
        decimal=decimal,
        quote=form.quote,
        escape=form.escape,
        header=_has_header(form.rows),
    )


@dataclass(frozen=True)
class _Form:
    """One way to read the sample, and the rows that it gives."""

    delimiter: str
    quote: str | None
    escape: str | None
    rows: list[list[str]]

    @property
    def columns(self) -> int:
        """Most frequent number of columns."""
        counts = Counter(len(row) for row in self.rows)
        return max(counts, key=lambda columns: (counts[columns], columns), default=1)

    @property
    def agreement(self) -> float:
        """Share of rows with that number of columns, and of values without stray quotes."""
        if not self.rows:
            return 0.0
        even = sum(len(row) == self.columns for row in self.rows) / len(self.rows)
        stray = sum(any(self._is_stray(value) for value in row) for row in self.rows)
        return even * (1 - 0.5 * stray / len(self.rows))

    @property
    def score(self) -> tuple[bool, bool, float, int]:
        """Order of the ways to read; the header must agree with the rows."""
        if self.columns == 1 or self.agreement < _FEW_AGREE:
            return (False, False, self.agreement, 0)
        agrees = len(self.rows[0]) == self.columns
        return (True, agrees, round(self.agreement, 2), self.columns)

    def _is_stray(self, value: str) -> bool:
        r"""True for a value that a wrong form leaves: `a \b\" c"`, or `"a"` with quotes off."""
        if self.quote is None:
            return len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        return "\\" + self.quote in value and self.escape is None


def _best_form(text: str, is_whole: bool) -> _Form:
    """The way to read that gives the most even rows; of equals the plainest."""
    quotes: list[str | None] = ['"']
    if "'" in text and '"' not in text:
        quotes.append("'")
    if '"' in text:
        quotes.append(None)
    escapes = [None, "\\"] if "\\" in text else [None]
    forms = [
        _Form(delimiter, quote, escape, _parse(text, delimiter, quote, escape, is_whole))
        for delimiter in _DELIMITERS
        if delimiter in text
        for quote in quotes
        for escape in escapes
    ]
    plain = _Form(",", '"', None, _parse(text, ",", '"', None, is_whole))
    best = max(forms, key=lambda form: form.score, default=plain)
    return best if best.score[0] else plain


def _parse(
    text: str, delimiter: str, quote: str | None, escape: str | None, is_whole: bool
) -> list[list[str]]:
    if len(delimiter) > 1:
        text = text.replace(delimiter, _STAND_IN)
    csv.field_size_limit(max(csv.field_size_limit(), _LONG_FIELD))
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter if len(delimiter) == 1 else _STAND_IN,
        quotechar=quote or '"',
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        escapechar=escape,
    )
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > _SAMPLE_ROWS:
                return rows[:-1]
    except csv.Error:
        return rows
    return rows if is_whole else rows[:-1]  # the last one may be cut off


def _decimal(rows: Sequence[Sequence[str]]) -> str:
    """A comma if more values are numbers with a comma than with a point."""
    commas = points = 0
    for row in rows:
        for value in row:
            value = value.strip()
            if _POINT_NUMBER.fullmatch(value):
                points += not _GROUPED.fullmatch(value)
            elif _COMMA_NUMBER.fullmatch(value):
                commas += not _GROUPED.fullmatch(value)
    return "," if commas > points else "."


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """False if the first row holds numbers or times where the rows below it do."""
    if not rows:
        return True
    first, rest = rows[0], rows[1:]
    if len(set(first)) == len(first) and not any(map(_DIGITS_FIRST.fullmatch, first)):
        return not _looks_like_values(first, rest)
    for index, value in enumerate(first):
        below = [row[index] for row in rest if len(row) == len(first) and row[index]]
        is_number = bool(_DIGITS_FIRST.fullmatch(value))
        numbers = sum(bool(_DIGITS_FIRST.fullmatch(other)) for other in below)
        if is_number and (not below or numbers > len(below) / 2):
            return False
    return True


def _looks_like_values(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """True if every text of the first row occurs again below it, in its own column."""
    even = [row for row in rest if len(row) == len(first)]
    return len(even) > 1 and all(
        any(row[index] == value for row in even) for index, value in enumerate(first)
    )
