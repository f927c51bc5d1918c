"""Hostile log files for the reader, in a process of their own: a crash must not end the tests.

Run: python fuzz_worker.py FORMAT EXAMPLES FILE. FILE holds the last input, whatever happens. The
last line of the output is JSON: numbers of inputs read, and refused in one sentence.
"""

import csv
import io
import json
import random
import re
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from taskroute.components.logs.log_batch import RowCheck
from taskroute.components.logs.log_reader import column_names, read_batches, split_into_parts
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import Csv

COLUMNS = [
    RawColumn("user", "text"),
    RawColumn("genres", "texts", "|"),
    RawColumn("age", "number"),
]
NAMES = [column.name for column in COLUMNS]
ROWS = [
    {"user": f"u{row}", "genres": ["a|b", 'a "b", c', "", "ü|日本"][row % 4], "age": row / 4}
    for row in range(30)
]
PIECES = {
    "csv": [
        *(b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\0", b"\\", b'\\"', b'"a\nb"', b" ", b"\t"),
        *(b"\x0b", b"\x0c", b"\x1c", b"\xef\xbb\xbf", b"\xff", b"\xe9", b"\xc2\x85", b"u1,a,3\n"),
        *(b"," * 50, b"\n" * 3, b"x" * 70, b'","', b'"\n"', b"\xe2\x80\xa8", b"user,genres,age\n"),
    ],
    "jsonl": [
        *(
            b"{",
            b"}",
            b"[",
            b"]",
            b'"',
            b":",
            b",",
            b"\n",
            b"\r",
            b"\r\n",
            b"\0",
            b"\\",
            b"\\u0000",
        ),
        *(b" ", b"\t", b"\x0b", b"\xff", b"\xef\xbb\xbf", b"null", b"true", b"NaN", b"1e999"),
        *(b'{"user": 1}', b'{"user": 1}{"user": 2}', b'"user": 2,', b"[" * 200, b'{"a":' * 50),
        *(b"9" * 400, b"-", b"0", b"\\ud800", b'{"user": "a"}\n', b"\n\n", b"{}\n", b"1\n"),
    ],
    "parquet": [
        *(b"\0", b"\xff", b"\x80", b"\x7f", b"PAR1", b"\0" * 8, b"\xff" * 8, b"\x15", b"\x19"),
    ],
}
FORMS = [
    *[Csv()] * 6,
    Csv(delimiter=";"),
    Csv(delimiter="::"),
    Csv(delimiter="\t", quote=None),
    Csv(quote="'"),
    Csv(escape="\\"),
    Csv(escape=""),
    Csv(header=False),
    Csv(header=("user", "genres", "age")),
    Csv(encoding="latin-1"),
    Csv(encoding="utf-16-le"),
]


def valid(kind: str, form: Csv, rng: random.Random) -> bytes:
    """A good file."""
    if kind == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    if kind == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(
            pa.Table.from_pylist(ROWS * rng.choice([1, 20])),
            sink,
            row_group_size=rng.choice([10, 1000]),
            compression=rng.choice(["none", "snappy", "zstd"]),
            use_dictionary=rng.choice([True, False]),
            data_page_version=rng.choice(["1.0", "2.0"]),
        )
        return sink.getvalue().to_pybytes()
    lines = [NAMES] if form.header is True else []
    lines += [[str(value) for value in row.values()] for row in ROWS]
    quote = form.quote or ""
    text = "".join(
        form.delimiter.join(f"{quote}{v}{quote}" if "," in v or "日" in v else v for v in line)
        + "\n"
        for line in lines
    )
    if quote == '"':
        text = text.replace('a "b", c', 'a ""b"", c')
    return text.encode(form.encoding, "replace")


@st.composite
def files(draw: st.DrawFn, kind: str) -> tuple[bytes, Csv]:
    """A mutated good file, or one made of pieces."""
    form = draw(st.sampled_from(FORMS)) if kind == "csv" else Csv()
    rng = random.Random(draw(st.integers(0, 1 << 32)))  # noqa: S311 - inputs, not secrets
    pieces = [*PIECES[kind], form.delimiter.encode()]
    content = bytearray(valid(kind, form, rng))
    if kind != "parquet" and rng.randrange(4) == 0:
        end = content.find(b"\n") + 1
        start = content[: rng.choice([end, end, end, 0, 16])]
        return bytes(start) + b"".join(rng.choices(pieces, k=rng.randrange(60))), form
    for _ in range(rng.randrange(7)):
        mutate(content, rng, pieces, kind)
    return bytes(content), form


def mutate(content: bytearray, rng: random.Random, pieces: list[bytes], kind: str) -> None:
    """Changes one place; in Parquet, whose places are numbered, mostly without moving others."""
    at = rng.randrange(len(content) + 1)
    in_place = kind == "parquet" and rng.randrange(8) > 0
    match rng.choice([2, 5]) if in_place else rng.randrange(6):
        case 0 | 1:
            content[at:at] = rng.choice(pieces)
        case 2:
            piece = rng.choice(pieces)[: len(content) - at]
            content[at : at + len(piece)] = piece
        case 3:
            del content[at : at + rng.choice([1, 1, 5, 40])]
        case 4:
            content[at:at] = content[at : at + rng.choice([1, 20, 300])]
        case 5 if at < len(content):
            content[at] ^= 1 << rng.randrange(8)


def expected_csv(content: bytes, form: Csv) -> tuple[int, int, list[str]]:
    """Numbers of rows and of uneven ones, and the users of the even ones, by Python alone."""
    text = content.decode(
        form.encoding, "surrogateescape" if form.encoding == "utf-8" else "replace"
    )
    text = text.removeprefix("\ufeff")
    if form.escape_character:  # a line end of two characters is escaped as one
        text = re.sub(r"\\(\\|\r\n)", lambda match: match[0].replace("\r\n", "\n"), text)
    if len(form.delimiter) > 1:
        assert "\x1f" not in text
        text = text.replace(form.delimiter, "\x1f")
    rows = [
        row
        for row in csv.reader(
            io.StringIO(text, newline=""),
            delimiter=form.delimiter if len(form.delimiter) == 1 else "\x1f",
            quotechar=form.quote or '"',
            quoting=csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE,
            escapechar=form.escape_character,
        )
        if row
    ]
    if form.header is True:
        header, rows = rows[0], rows[1:]
    else:
        header = NAMES if form.header else [f"column_{i + 1}" for i in range(len(rows[0]))]
    even = [row for row in rows if len(row) == len(header)]
    place = header.index("user") if "user" in header else 0
    users = [row[place].replace("\x1f", form.delimiter) for row in even]
    return len(rows), len(rows) - len(even), users


def check(kind: str, file: Path, content: bytes, form: Csv) -> None:
    """Reads a file, and compares its rows with those that Python alone finds.

    Raises:
        DataError: If the file is refused.
    """
    names = column_names(str(file), kind, form)
    columns = COLUMNS
    if form.header is False:
        columns = [RawColumn(names[0], "text")]
    counted = good = 0
    reasons: Counter[str] = Counter()
    users: list[str | None] = []
    for part in split_into_parts([str(file)], kind):
        for batch in read_batches(part, columns, kind, form):
            row_check = RowCheck(batch)
            row_check.convert(columns)
            counted += batch.num_counted
            good += int(row_check.is_good.sum())
            reasons.update(bad.reason for bad in row_check.bad_rows)
            users += batch.values[columns[0].name].to_pylist() if kind == "csv" else []
    assert counted == good + reasons.total(), (counted, good, reasons)
    # The csv module takes an escape right after a closing quote for text.
    is_unclear = form.escape_character is not None and b'"\\' in content
    if kind == "csv" and not is_unclear:
        rows, uneven, expected = expected_csv(content, form)
        assert (counted, reasons["uneven_row"]) == (rows, uneven)
        is_as_python_reads = not form.escape_character and form.encoding != "utf-16-le"
        if columns[0].name in names and is_as_python_reads and not reasons["not_utf8"]:
            assert users == expected
    elif kind == "jsonl":
        text = content.removeprefix(b"\xef\xbb\xbf")
        assert counted == sum(bool(line.strip()) for line in text.split(b"\n"))
    elif kind == "parquet":
        assert counted == pq.ParquetFile(file).metadata.num_rows


def main(kind: str, examples: int, file: Path) -> None:
    """Tries as many files."""
    told = Counter({"read": 0, "refused": 0})

    @seed(2026)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(files(kind))
    def run(case: tuple[bytes, Csv]) -> None:
        content, form = case
        file.write_bytes(content)
        try:
            check(kind, file, content, form)
            told["read"] += 1
        except DataError as error:
            told["refused"] += 1
            if "\n" in str(error):
                raise AssertionError(f"more than one line: {error}") from error

    run()
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
