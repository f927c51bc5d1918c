"""Reading log files: the three formats, and what is said of a broken file."""

import gzip
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from taskroute.components.logs import csv_records, json_lines, log_reader
from taskroute.components.logs.log_batch import RowCheck
from taskroute.components.logs.log_reader import (
    Part,
    read_batches,
    split_into_parts,
)
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError

COLUMNS = [
    RawColumn("user", "text"),
    RawColumn("genres", "texts", "|"),
    RawColumn("age", "number"),
    RawColumn("clicked", "number"),
]
ROWS = {
    "user": ["u1", "ü2", "3", None, 'a "b", c', "two\nlines"],
    "genres": [["a", "b"], None, ["c"], ["d"], None, ["e", "f"]],
    "age": [31.5, 0.0, None, -2.0, 1e-3, 7.0],
    "clicked": [0, 1, 0, 1, None, 0],
}
CONVERTED = {
    "user": [[b"u1"], ["ü2".encode()], [b"3"], None, [b'a "b", c'], [b"two\nlines"]],
    "genres": [[b"a", b"b"], None, [b"c"], [b"d"], None, [b"e", b"f"]],
    "age": [[31.5], [0.0], None, [-2.0], [pytest.approx(1e-3)], [7.0]],
    "clicked": [[0.0], [1.0], [0.0], [1.0], None, [0.0]],
}


def _write(path, rows):
    """Writes a table as the name's format; lists become text in CSV."""
    table = pa.table(rows)
    suffixes = path.suffixes
    if ".parquet" in suffixes:
        pq.write_table(table, path, row_group_size=2)
        return path
    if ".jsonl" in suffixes:
        content = "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()
    else:
        joined = {
            name: ["|".join(v) if isinstance(v, list) else v for v in values]
            for name, values in rows.items()
        }
        sink = pa.BufferOutputStream()
        pcsv.write_csv(pa.table(joined), sink)
        content = sink.getvalue().to_pybytes()
    path.write_bytes(gzip.compress(content) if ".gz" in suffixes else content)
    return path


def _format(path):
    return next(kind for kind in ("csv", "jsonl", "parquet") if f".{kind}" in path.suffixes)


def _batches(path, columns):
    return list(read_batches(Part(str(path)), columns, _format(path)))


def _read(path, columns=COLUMNS):
    """All rows, none of which may be bad."""
    checks = [RowCheck(batch) for batch in _batches(path, columns)]
    converted = [check.convert(columns) for check in checks]
    assert [check.bad_rows for check in checks] == [[]] * len(checks)
    return pa.Table.from_batches(converted).to_pydict()


def _read_good(path, columns=COLUMNS):
    """The numbers and values of the good rows, and the sentences about the others."""
    numbers, values, sentences = [], [], []
    for batch in _batches(path, columns):
        check = RowCheck(batch)
        good = check.convert(columns).filter(pa.array(check.is_good))
        numbers += batch.rows[check.is_good].tolist()
        values.append(good)
        sentences += [bad.sentence().removeprefix(f"{path}: ") for bad in check.bad_rows]
    return numbers, pa.Table.from_batches(values).to_pydict(), sentences


def _refusal(path, columns=COLUMNS):
    with pytest.raises(DataError) as error:
        _read(path, columns)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


class TestFormats:
    @pytest.mark.parametrize(
        "name", ["log.csv", "log.csv.gz", "log.jsonl", "log.jsonl.gz", "log.parquet"]
    )
    def test_the_same_table_is_read_from_every_format(self, tmp_path, name):
        assert _read(_write(tmp_path / name, ROWS)) == CONVERTED

    @pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
    def test_blocks_and_batches_change_nothing(self, tmp_path, name, monkeypatch):
        rows = {key: values * 50 for key, values in ROWS.items()}
        monkeypatch.setattr(csv_records, "BLOCK_BYTES", 300)
        monkeypatch.setattr(json_lines, "BLOCK_BYTES", 300)
        monkeypatch.setattr(log_reader, "BATCH_ROWS", 7)
        path = _write(tmp_path / name, rows)
        batches = _batches(path, COLUMNS)
        assert len(batches) > 10
        assert [row for batch in batches for row in batch.rows.tolist()] == list(range(1, 301))
        assert _read(path) == {key: values * 50 for key, values in CONVERTED.items()}

    @pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
    def test_columns_come_in_the_order_asked_for(self, tmp_path, name):
        path = _write(tmp_path / name, ROWS)
        assert list(_read(path, COLUMNS[::-1])) == ["clicked", "age", "genres", "user"]

    @pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
    def test_a_column_may_be_read_in_two_ways(self, tmp_path, name):
        path = _write(tmp_path / name, {"id": [2**60 + 1, 7], "x": [1.0, 2.0]})
        columns = [RawColumn("id", "number"), RawColumn("id", "text")]
        check = RowCheck(*_batches(path, columns))
        assert check.keys("id").to_pylist() == [str(2**60 + 1), "7"]
        assert check.convert(columns[:1]).to_pydict() == {"id": [[float(2**60)], [7.0]]}

    @pytest.mark.parametrize("name", ["log.csv", "log.json.csv", "log.jsonl", "log.parquet"])
    def test_a_list_keeps_its_order_and_its_repeats(self, tmp_path, name):
        past = [["b", "a", "b", "ü 😀"], [], None, ["7", "", "b"], ["only"]]
        texts = [None if terms is None else json.dumps(terms) for terms in past]
        rows = {"n": list(range(5)), "history": texts if ".json" in name else past}
        column = RawColumn("history", "texts", "|")
        kept = [[term.encode() for term in terms or () if term] or None for terms in past]
        assert _read(_write(tmp_path / name, rows), [column]) == {"history": kept}

    def test_only_the_wanted_columns_are_read(self, tmp_path):
        for name in ("log.csv", "log.jsonl", "log.parquet"):
            path = _write(tmp_path / name, ROWS)
            (batch, *_) = _batches(path, COLUMNS[2:3])
            assert batch.values.schema.names == ["age"]


class TestCsv:
    def _csv(self, tmp_path, content: bytes):
        path = tmp_path / "log.csv"
        path.write_bytes(content)
        return path

    def test_a_byte_order_mark_and_windows_lines_are_no_matter(self, tmp_path):
        path = self._csv(tmp_path, b"\xef\xbb\xbfuser,age\r\nu1,0\r\n")
        assert _read(path, [COLUMNS[0], COLUMNS[2]]) == {"user": [[b"u1"]], "age": [[0.0]]}

    def test_a_header_without_rows_has_no_rows(self, tmp_path):
        path = self._csv(tmp_path, b"user,age\n")
        assert sum(batch.num_rows for batch in _batches(path, COLUMNS[:1])) == 0

    def test_text_keeps_its_digits(self, tmp_path):
        path = self._csv(tmp_path, b"user,age\n007,1\n3.0,1\n")
        assert _read(path, COLUMNS[:1]) == {"user": [[b"007"], [b"3.0"]]}

    def test_a_row_with_too_few_columns_is_named(self, tmp_path):
        path = self._csv(tmp_path, b'user,age\n"a\nb",1\n\nc,2\nd\n')
        assert _read_good(path, COLUMNS[:1]) == (
            [1, 2],
            {"user": [[b"a\nb"], [b"c"]]},
            ["row 3: has 1 columns where the header has 2"],
        )

    def test_rows_keep_their_numbers_beside_uneven_ones(self, tmp_path, monkeypatch):
        monkeypatch.setattr(csv_records, "BLOCK_BYTES", 64)
        uneven = {1, 2, 17, 18, 50, 99, 100}
        rows = [b"7,7,7" if row in uneven else b"u%d,1" % row for row in range(1, 101)]
        path = self._csv(tmp_path, b"user,age\n" + b"\n".join(rows))
        numbers, values, sentences = _read_good(path, COLUMNS[:1])
        assert numbers == [row for row in range(1, 101) if row not in uneven]
        assert values["user"] == [[b"u%d" % row] for row in numbers]
        assert sentences == [
            f"row {row}: has 3 columns where the header has 2" for row in sorted(uneven)
        ]

    def test_a_bad_number_is_named_with_its_row(self, tmp_path, monkeypatch):
        monkeypatch.setattr(csv_records, "BLOCK_BYTES", 64)
        rows = b"".join(b'"a\nb",%d\n' % age for age in range(100))
        path = self._csv(tmp_path, b"user,age\n" + rows + b"c,old\n")
        numbers, _, sentences = _read_good(path, COLUMNS[2:3])
        assert numbers == list(range(1, 101))
        assert sentences == ["row 101, column 'age': 'old' is not a number"]

    def test_a_quote_that_never_closes_is_said(self, tmp_path, monkeypatch):
        monkeypatch.setattr(csv_records, "BLOCK_BYTES", 64)
        path = self._csv(tmp_path, b'user,age\n"a,1\n' + b"b,2\n" * 100)
        assert "is there a quote that never closes?" in _refusal(path, COLUMNS[:1])

    @pytest.mark.parametrize("last", [b'b,"2\nc,3\n', b'"b,2\nc,3\n', b'b,2\nc,"3', b'b,"'])
    def test_a_quote_open_at_the_end_is_said(self, tmp_path, last):
        path = self._csv(tmp_path, b"user,age\na,1\n" + last)
        assert "opens a quote that never closes" in _refusal(path, COLUMNS[:1])

    def test_a_header_of_other_separators_is_said(self, tmp_path):
        path = self._csv(tmp_path, b"user;age\na;1\n")
        assert _refusal(path, COLUMNS[:1]) == (
            "its header is one column, 'user;age'; set `source.csv.delimiter` to ';', as "
            "`taskroute init` guesses it"
        )

    def test_a_column_that_occurs_twice_is_refused(self, tmp_path):
        path = self._csv(tmp_path, b"user,user\na,b\n")
        assert "'user' occurs more than once" in _refusal(path, COLUMNS[:1])


class TestJsonLines:
    AGE = RawColumn("age", "number")
    USER = RawColumn("user", "text")
    GENRES = RawColumn("genres", "texts", "|")

    def _jsonl(self, tmp_path, *lines: str):
        path = tmp_path / "log.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def test_a_key_that_a_line_lacks_is_missing(self, tmp_path):
        path = self._jsonl(tmp_path, '{"user": "a"}', '{"age": 0}', "", "{}")
        read = _read(path, [self.USER, self.AGE])
        assert read == {"user": [[b"a"], None, None], "age": [None, [0.0], None]}

    def test_a_key_may_come_late(self, tmp_path):
        lines = ['{"user": "a"}'] * 1500 + ['{"user": "a", "age": 0}']
        read = _read(self._jsonl(tmp_path, *lines), [self.AGE])
        assert read["age"] == [None] * 1500 + [[0.0]]

    def test_values_of_several_types_keep_their_text(self, tmp_path):
        values = ['"a"', "1", "2.0", "2.5", "true", "null", "NaN", '""', "18446744073709551616"]
        path = self._jsonl(tmp_path, *(f'{{"user": {value}}}' for value in values))
        texts = [b"a", b"1", b"2", b"2.5", b"true", None, None, None, b"18446744073709551616"]
        assert _read(path, [self.USER])["user"] == [text and [text] for text in texts]

    def test_numbers_may_be_quoted(self, tmp_path):
        values = ["1", '"2.5"', "true", '"false"', "null", '""', "0"]
        path = self._jsonl(tmp_path, *(f'{{"age": {value}}}' for value in values))
        assert _read(path, [self.AGE])["age"] == [[1.0], [2.5], [1.0], [0.0], None, None, [0.0]]

    def test_integers_beside_floats_are_exact(self, tmp_path):
        path = self._jsonl(tmp_path, '{"user": 0.5}', f'{{"user": {2**60 + 1}}}')
        assert _read(path, [self.USER])["user"] == [[b"0.5"], [str(2**60 + 1).encode()]]

    def test_lists_and_separated_texts_may_be_mixed(self, tmp_path):
        path = self._jsonl(tmp_path, '{"genres": ["a|b", 1]}', '{"genres": "c|d"}', '{"genres": 5}')
        assert _read(path, [self.GENRES])["genres"] == [[b"a|b", b"1"], [b"c", b"d"], [b"5"]]

    def test_text_that_looks_like_a_time_stays_text(self, tmp_path):
        path = self._jsonl(tmp_path, '{"user": "2024-01-01"}')
        assert _read(path, [self.USER])["user"] == [[b"2024-01-01"]]

    def test_a_change_of_type_in_a_later_block_is_followed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(json_lines, "BLOCK_BYTES", 200)
        values = [*range(40), *(f"u{index}" for index in range(40)), *range(40)]
        path = self._jsonl(tmp_path, *(json.dumps({"user": value}) for value in values))
        assert _read(path, [self.USER])["user"] == [[str(value).encode()] for value in values]

    @pytest.mark.parametrize("bad", ['{"user": "a"', "[1]", "user,age", '"text"'])
    def test_a_line_that_is_no_object_is_named(self, tmp_path, bad):
        path = self._jsonl(tmp_path, '{"user": "a"}', "", '{"user": "a"}', bad)
        assert _read_good(path, [self.USER]) == (
            [1, 2],
            {"user": [[b"a"], [b"a"]]},
            ["row 3: is not a JSON object"],
        )

    @pytest.mark.parametrize(("value", "what"), [("[1]", "a list"), ("{}", "an object")])
    def test_a_value_of_the_wrong_shape_is_named(self, tmp_path, value, what):
        path = self._jsonl(tmp_path, '{"user": "a"}', f'{{"user": {value}}}')
        numbers, _, sentences = _read_good(path, [self.USER])
        assert numbers == [1]
        assert sentences == [f"row 2, column 'user': {value!r} is {what} where a text is asked for"]

    def test_lines_keep_their_numbers_beside_bad_ones(self, tmp_path, monkeypatch):
        monkeypatch.setattr(json_lines, "BLOCK_BYTES", 200)
        bad = {3: "{", 4: '{"user": [1]}', 40: '{"user": 1}{"user": 2}', 60: '{"user": "\\ud800"}'}
        lines = [bad.get(row, f'{{"user": "u{row}"}}') for row in range(1, 61)]
        numbers, values, sentences = _read_good(self._jsonl(tmp_path, *lines), [self.USER])
        assert numbers == [row for row in range(1, 61) if row not in bad]
        assert values["user"] == [[b"u%d" % row] for row in numbers]
        assert [sentence.split(":")[0].split(",")[0] for sentence in sentences] == [
            f"row {row}" for row in bad
        ]

    def test_a_key_that_a_line_repeats_is_named(self, tmp_path):
        path = self._jsonl(tmp_path, '{"user": "a"}', '{"user": "a", "user": "b"}')
        _, _, sentences = _read_good(path, [self.USER])
        assert sentences == ["row 2: has the key 'user' more than once"]

    def test_one_line_without_end_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(json_lines, "BLOCK_BYTES", 100)
        monkeypatch.setattr(json_lines, "_LONGEST_LINE", 1000)
        path = self._jsonl(tmp_path, "[" + '{"user": "a"},' * 500)
        assert "each row must be one line" in _refusal(path, [self.USER])


class TestParquet:
    def test_row_groups_are_grouped_into_parts(self, tmp_path, monkeypatch):
        path = _write(tmp_path / "log.parquet", {"age": list(range(9))})
        monkeypatch.setattr(log_reader, "_ROWS_PER_PART", 4)
        path = str(path)
        parts = split_into_parts([path], "parquet")
        assert parts == [Part(path, 1, (0, 1), 4), Part(path, 5, (2, 3), 4), Part(path, 9, (4,), 1)]
        age = RawColumn("age", "number")
        read = [
            (batch.rows[0], RowCheck(batch).convert([age])["age"].to_pylist())
            for part in parts
            for batch in read_batches(part, [age], "parquet")
        ]
        assert [first for first, _ in read] == [1, 5, 9]
        assert [row for _, rows in read for row in rows] == [[float(age)] for age in range(9)]

    def test_a_file_without_rows_has_no_parts(self, tmp_path):
        path = tmp_path / "log.parquet"
        pq.write_table(pa.table({"age": pa.array([], pa.int64())}), path)
        rows = [p.num_rows for p in split_into_parts([str(path)], "parquet")]
        assert sum(rows) == 0

    def test_dictionary_columns_are_text(self, tmp_path):
        path = tmp_path / "log.parquet"
        pq.write_table(pa.table({"user": pa.array(["a", None, "a"]).dictionary_encode()}), path)
        assert _read(path, COLUMNS[:1]) == {"user": [[b"a"], None, [b"a"]]}

    def test_a_column_of_another_type_is_named(self, tmp_path):
        path = _write(tmp_path / "log.parquet", {"user": [["a"]], "age": [["1"]]})
        assert _refusal(path, COLUMNS[:1]) == "column 'user': holds lists where text is asked for"
        assert "column 'age': holds lists where a number" in _refusal(path, COLUMNS[2:3])


class TestBrokenFiles:
    @pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
    def test_a_column_that_does_not_exist_is_named_with_the_closest(self, tmp_path, name):
        path = _write(tmp_path / name, ROWS)
        assert _refusal(path, [RawColumn("Clickd", "number")]) == (
            "there is no column 'Clickd'; did you mean 'clicked'?"
        )
        assert _refusal(path, [RawColumn("zzz", "text")]) == "there is no column 'zzz'"

    @pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
    def test_an_empty_file_is_refused(self, tmp_path, name):
        path = tmp_path / name
        path.touch()
        assert _refusal(path).startswith("is empty")

    @pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
    def test_rows_that_are_no_utf_8_are_named(self, tmp_path, name):
        path = _write(tmp_path / name, {"user": ["ü"] * 3000 + ["MARK", "é"]})
        path.write_bytes(path.read_bytes().replace(b"MARK", b"\xe9t\xe9s"))
        numbers, values, sentences = _read_good(path, COLUMNS[:1])
        assert numbers == [*range(1, 3001), 3002]
        assert values["user"][-1] == ["é".encode()]
        assert len(sentences) == 1
        assert sentences[0].startswith("row 3001, column 'user': ")
        assert sentences[0].endswith(" is not UTF-8 text")

    @pytest.mark.parametrize("name", ["log.csv.gz", "log.jsonl.gz"])
    def test_a_truncated_gzip_file_is_refused(self, tmp_path, name):
        path = _write(tmp_path / name, {"user": [os.urandom(20).hex() for _ in range(50_000)]})
        path.write_bytes(path.read_bytes()[:-1000])
        assert "ends too early" in _refusal(path, COLUMNS[:1])

    @pytest.mark.parametrize("name", ["log.csv.gz", "log.jsonl.gz"])
    def test_a_file_that_only_says_it_is_gzip_is_refused(self, tmp_path, name):
        path = tmp_path / name
        path.write_text("user\na\n")
        assert "is not gzip data" in _refusal(path, COLUMNS[:1])

    def test_gzip_members_that_were_joined_are_all_read(self, tmp_path):
        path = tmp_path / "log.csv.gz"
        path.write_bytes(gzip.compress(b"user\na\n") + gzip.compress(b"b\n"))
        assert _read(path, COLUMNS[:1]) == {"user": [[b"a"], [b"b"]]}

    @pytest.mark.parametrize("keep", [4, 200])
    def test_a_parquet_file_that_is_cut_off_is_refused(self, tmp_path, keep):
        path = _write(tmp_path / "log.parquet", ROWS)
        path.write_bytes(path.read_bytes()[:keep])
        assert _refusal(path) == "is not a Parquet file, or is cut off"
        with pytest.raises(DataError, match="is not a Parquet file"):
            split_into_parts([str(path)], "parquet")

    def test_a_damaged_page_is_refused(self, tmp_path):
        path = _write(tmp_path / "log.parquet", {"user": ["abc" * 100, "def" * 100]})
        content = bytearray(path.read_bytes())
        content[10:60] = b"\xff" * 50
        path.write_bytes(bytes(content))
        assert _refusal(path, COLUMNS[:1]).startswith("cannot be read: ")

    def test_a_file_that_is_gone_is_named(self, tmp_path):
        assert _refusal(tmp_path / "log.csv") == "cannot be read: No such file or directory"


def test_the_reader_imports_no_tensorflow():
    code = (
        "import sys; import taskroute.components.logs.labels; "
        "sys.exit(bool({'tensorflow', 'tfx', 'apache_beam'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
