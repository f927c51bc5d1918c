"""Files made to break a parser: read right or refused in one sentence, in a process of their own.

A crash of the process is the outcome of the file that it was at; the next process goes on.
"""

import gzip
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
HEADER = b"user,genres,age\n"
GOOD = b"".join(b"u%d,a|b,%d\n" % (row, row) for row in range(40))
OBJECT = b'{"user": "u1", "genres": "a", "age": 1}\n'
UNEVEN = {"uneven_row": 1}
NOT_JSON = {"not_json": 1}


def _csv(*last: bytes) -> bytes:
    return HEADER + GOOD + b"".join(line + b"\n" for line in last) + GOOD


def _jsonl(*last: bytes) -> bytes:
    return OBJECT * 40 + b"".join(line + b"\n" for line in last) + OBJECT * 40


def _parquet(**options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    rows = {"user": ["MARKMARK", "b"] * 40, "genres": ["a|b"] * 80, "age": [1.5, 2.5] * 40}
    pq.write_table(pa.table(rows), sink, **options)
    return sink.getvalue().to_pybytes()


def _changed(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


# name: (content, form, number of good rows, bad rows by reason)
CSV: dict[str, tuple[bytes, Csv, int, dict[str, int]]] = {
    "zero byte in a text": (_csv(b"a\0b,x,1"), Csv(), 81, {}),
    "zero byte in the last column": (_csv(b"a,x,1\0"), Csv(), 80, {"not_a_number": 1}),
    "zero bytes only": (_csv(b"\0\0\0"), Csv(), 80, UNEVEN),
    "zero byte before a line end in each row": (
        HEADER + GOOD.replace(b"|b", b"\0|b"),
        Csv(),
        40,
        {},
    ),
    "400,000 commas": (_csv(b"," * 400_000), Csv(), 80, UNEVEN),
    "1,000 commas 60 times": (_csv(*[b"," * 1_000] * 60), Csv(), 80, {"uneven_row": 60}),
    "long rows at each 100th": (
        HEADER + (GOOD * 3 + b"," * 5_000 + b"\n") * 200,
        Csv(),
        24_000,
        {"uneven_row": 200},
    ),
    "a text of 1 MB with commas": (_csv(b'"' + b"a," * (1 << 19) + b'",x,1'), Csv(), 80, {
        "too_long": 1
    }),
    "a row like an end marker": (_csv(b"end of the file, not a row,,,"), Csv(), 80, UNEVEN),
    "a row like the header": (_csv(HEADER[:-1]), Csv(), 80, {"not_a_number": 1}),
    "delimiter at the end of each row": (
        HEADER + GOOD.replace(b"\n", b",\n"),
        Csv(),
        0,
        {"uneven_row": 40},
    ),
    "lines of spaces": (_csv(b"   ", b"\t"), Csv(), 80, {"uneven_row": 2}),
    "returns alone end rows": ((HEADER + GOOD).replace(b"\n", b"\r"), Csv(), 40, {}),
    "line ends of each kind": (HEADER + GOOD + GOOD.replace(b"\n", b"\r\n") + b"\r\r\n\n\r", Csv(),
        80, {}),
    "Windows line ends in quotes": (_csv(b'"a\r\nb",x,1'), Csv(), 81, {}),
    "returns in quotes": (_csv(b'"a\rb",x,1'), Csv(), 81, {}),
    "form feed and other controls": (_csv(b"\x0c\x0b\x1c\x1f,x,1"), Csv(), 81, {}),
    "line ends of Unicode": (_csv("a\u2028b\u0085,x,1".encode()), Csv(), 81, {}),
    "byte order mark in the middle": (_csv(b"\xef\xbb\xbfu,x,1"), Csv(), 81, {}),
    "quote within a text": (_csv(b'17" tv,x,1'), Csv(), 81, {}),
    "two quotes within a text": (_csv(b'a "b, c" d,1'), Csv(), 81, {}),
    "text after a closing quote": (_csv(b'"a"b,x,1'), Csv(), 81, {}),
    "quotes of quotes": (_csv(b'"""a"""",""""",x,1'), Csv(), 81, {}),
    "space before a quote": (_csv(b'u, "x",1'), Csv(), 81, {}),
    "empty quotes": (_csv(b'"","",""'), Csv(), 81, {}),
    "bytes that UTF-8 never has": (_csv(b"\xf8\xfe\xff,x,1"), Csv(), 80, {"not_utf8": 1}),
    "torn character at the end": (_csv() + b"u,x\xe3\x81", Csv(), 80, UNEVEN),
    "a thousand columns": (
        HEADER[:-1] + b",x" * 997 + b"\n" + (b"u,a,1" + b"," * 997 + b"\n") * 50,
        Csv(),
        50,
        {},
    ),
    "no delimiter in any row": (HEADER + b"abc\n" * 50, Csv(), 0, {"uneven_row": 50}),
    "Spark's escapes, told": (_csv(rb'"a \"b\" c",x,1', rb'"\"",x,1', rb'"c:\\",x,1'),
        Csv(escape="\\"), 83, {}),
    "backslashes that are text": (_csv(rb'"a \"b,x,1'), Csv(escape=""), 81, {}),
    "Windows path in quotes": (_csv(rb'"C:\",x,1'), Csv(), 81, {}),
    "escaped delimiter and line end": (_csv(b"a\\,b\\\nc,x,1"), Csv(escape="\\"), 81, {}),
    "quotes off": (_csv(b'"17 inch,x,1'), Csv(quote=None), 81, {}),
    "delimiter of two signs": (
        (HEADER + GOOD).replace(b",", b"::") + b"a:b::x::1\n" + b'"a::b"::\x1f::1\n',
        Csv(delimiter="::"),
        42,
        {},
    ),
    "UTF-16 with half a character": (
        (HEADER + GOOD).decode().encode("utf-16-le") + b"u\0,\0\x00\xd8,\x001\0\n\0",
        Csv(encoding="utf-16-le"),
        40,
        {"not_utf8": 1},
    ),
    "decimal commas": (
        HEADER.replace(b",", b";") + b"a;x;1,5\nb;x;1.234,5\nc;x;1.5\nd;x;-,5\n",
        Csv(delimiter=";", decimal=","),
        3,
        {"not_a_number": 1},
    ),
}  # fmt: skip

# name: (content, number of good rows, bad rows by reason)
JSONL: dict[str, tuple[bytes, int, dict[str, int]]] = {
    "null as a row": (_jsonl(b"null"), 80, NOT_JSON),
    "null after an object": (_jsonl(OBJECT[:-1] + b" null " + OBJECT[:-1]), 80, NOT_JSON),
    "null as the last row": (_jsonl() + b"null\r\r", 80, NOT_JSON),
    "null and an object": (_jsonl(b"null" + OBJECT[:-1]), 80, NOT_JSON),
    "numbers and words as rows": (_jsonl(b"1", b"true", b'"a"', b"NaN"), 80, {"not_json": 4}),
    "zero byte": (_jsonl(b'{"user": "a\0b"}'), 80, NOT_JSON),
    "escaped zero": (_jsonl(b'{"user": "a\\u0000b"}'), 81, {}),
    "nested without end in a key that is not read": (
        _jsonl(b'{"z": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
        81,
        {},
    ),
    "objects in objects": (_jsonl(b'{"z": ' * 300 + b"1" + b"}" * 300), 81, {}),
    "a number of 5,000 digits": (_jsonl(b'{"age": ' + b"9" * 5_000 + b"}"), 80, {"not_finite": 1}),
    "an exponent without end": (_jsonl(b'{"age": 1e99999}'), 80, {"not_finite": 1}),
    "a text of 5 MB": (_jsonl(b'{"user": "' + b"x" * (5 << 20) + b'"}'), 80, {"too_long": 1}),
    "two objects beside a blank line": (_jsonl(b"", b"{}{}"), 80, NOT_JSON),
    "two objects beside one in two lines": (
        _jsonl(b"{}{}", b'{"z":', b"{}}"),
        80,
        {"not_json": 3},
    ),
    "returns between objects": (_jsonl(b"{}\r{}"), 80, NOT_JSON),
    "Windows line ends and blank lines": (_jsonl(b"\r", b"{}\r", b" \t\r"), 81, {}),
    "byte order mark in the middle": (_jsonl(b"\xef\xbb\xbf{}"), 81, {}),
    "one array": (b"[" + OBJECT[:-1] + b"]", 0, NOT_JSON),
    "bytes that UTF-8 never has": (_jsonl(b'{"user": "\xf8"}'), 80, {"not_utf8": 1}),
    "form feed between lines": (_jsonl(b"\x0c"), 80, {}),
}

PARQUET: dict[str, bytes] = {
    "no dictionary": _parquet(use_dictionary=False),
    "pages of version 2": _parquet(data_page_version="2.0"),
    "row groups of one row": _parquet(row_group_size=1),
}

# name: (file, content, form, words of the sentence)
REFUSED: dict[str, tuple[str, bytes, Csv, str]] = {
    "csv, Spark's escapes, not told": (
        "log.csv",
        _csv(rb'"a \"b\" c",x,1'),
        Csv(),
        "row 41 seems to escape quotes by a backslash; say so with `source.csv.escape",
    ),
    "csv, Spark's quote at the end": (
        "log.csv", _csv(rb'"a \"",x,1', rb'"b \"",x,1'), Csv(), "seems to escape quotes"
    ),
    "csv, header with an open quote": (
        "log.csv", b'"user,genres,age\nu,x,1\n', Csv(), "header row opens a quote"
    ),
    "csv, a header of 9 MB": ("log.csv", b"x" * (9 << 20), Csv(), "longer than 2 MB"),
    "csv, quote open at the end": ("log.csv", _csv() + b'"u,x,1\n', Csv(), "row 81 opens a quote"),
    "csv, tabs": ("log.csv", _csv().replace(b",", b"\t"), Csv(), "`source.csv.delimiter`"),
    "csv, nothing but returns": ("log.csv", b"\r\r\r\n", Csv(), "is empty"),
    "csv, a byte order mark only": ("log.csv", b"\xef\xbb\xbf", Csv(), "is empty"),
    "csv, names given and no row": ("log.csv", b"\n", Csv(header=("user",)), "is empty"),
    "csv, rubbish after gzip": (
        "log.csv.gz", gzip.compress(_csv()) + b"rubbish" * 9, Csv(), "cannot be read"
    ),
    "parquet, rows that the index does not have": (
        "log.parquet",
        _changed(_parquet(row_group_size=80, compression="none"), b"\x16\xa0\x01\x19\x1c",
                 b"\x16\xa2\x01\x19\x1c"),
        Csv(),
        "its index tells of 81 rows and it has 80",
    ),
    "parquet, pages of zeros": (
        "log.parquet", b"PAR1" + bytes(300) + _parquet()[304:], Csv(), "cannot be read"
    ),
    "parquet, a footer of another length": (
        "log.parquet", _parquet()[:-8] + b"\xff\xff\xff\x7fPAR1", Csv(), "is not a Parquet file"
    ),
    "parquet, a magic word only": ("log.parquet", b"PAR1", Csv(), "is not a Parquet file"),
}  # fmt: skip

GOOD_AND_BAD: dict[str, tuple[str, bytes, Csv, int, dict[str, int]]] = {
    **{f"csv, {name}": ("log.csv", *case) for name, case in CSV.items()},
    **{f"jsonl, {n}": ("log.jsonl", text, Csv(), *rest) for n, (text, *rest) in JSONL.items()},
    **{f"parquet, {n}": ("log.parquet", text, Csv(), 80, {}) for n, text in PARQUET.items()},
    "csv, gzip in three members": (
        "log.csv.gz",
        gzip.compress(HEADER) + gzip.compress(GOOD) + gzip.compress(GOOD),
        Csv(),
        80,
        {},
    ),
}


def _outcome(file: str, content: bytes, form: Csv) -> list[Any]:
    """Numbers of good and of bad rows; or the sentence that refuses the file."""
    kind = file.split(".")[1]
    good, bad, counted = 0, Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_bytes(content)
        try:
            column_names(str(path), kind, form)
            for part in split_into_parts([str(path)], kind):
                for batch in read_batches(part, COLUMNS, kind, form):
                    check = RowCheck(batch)
                    check.convert(COLUMNS)
                    good += int(check.is_good.sum())
                    bad.update(row.reason for row in check.bad_rows)
                    counted += batch.num_counted
        except DataError as error:
            return [str(error)]
    if counted != good + bad.total():
        return [f"{counted} rows counted"]
    return [good, dict(bad)]


def main(names: list[str]) -> None:
    """Writes a line for each file, as soon as it is read."""
    for name in names:
        file, content, form, *_ = {**GOOD_AND_BAD, **REFUSED}[name]
        sys.stdout.write(json.dumps(_outcome(file, content, form)) + "\n")
        sys.stdout.flush()


@pytest.fixture(scope="module")
def outcome() -> Callable[[str], list[Any]]:
    names = [*GOOD_AND_BAD, *REFUSED]
    outcomes: list[list[Any]] = []
    while len(outcomes) < len(names):
        command = [sys.executable, __file__, *names[len(outcomes) :]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        outcomes += [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode:
            outcomes.append([f"ended with {done.returncode}: {done.stderr[-2000:]}"])
    by_name = dict(zip(names, outcomes, strict=True))
    return by_name.__getitem__


@pytest.mark.parametrize("name", GOOD_AND_BAD)
def test_no_row_is_lost(outcome, name):
    *_, good, bad = GOOD_AND_BAD[name]
    assert outcome(name) == [good, bad]


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(outcome, name):
    (sentence,) = outcome(name)
    assert REFUSED[name][-1] in sentence
    assert "\n" not in sentence


def test_the_corpus_is_as_large_as_promised():
    assert len(GOOD_AND_BAD) + len(REFUSED) >= 70


if __name__ == "__main__":
    main(sys.argv[1:])
