"""CSV files of other forms, read right by `source.csv`."""

import pyarrow as pa
import pytest

from taskroute.components.logs import csv_log, csv_records
from taskroute.components.logs.log_batch import RowCheck
from taskroute.components.logs.log_reader import Part, column_names, read_batches
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import Csv

TITLE, PRICE = RawColumn("title", "text"), RawColumn("price", "number")


@pytest.fixture(params=[64, 1 << 21], ids=["small blocks", "one block"])
def read(request, tmp_path, monkeypatch):
    """Reads titles and prices; the bad rows as sentences."""
    monkeypatch.setattr(csv_records, "BLOCK_BYTES", request.param)

    def _read(content, form, title=TITLE, price=PRICE):
        path = tmp_path / "log.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        titles, prices, bad = [], [], []
        for batch in read_batches(Part(str(path)), [title, price], "csv", form):
            check = RowCheck(batch)
            good = check.convert([title, price]).filter(pa.array(check.is_good))
            titles += [value and value[0].decode() for value in good[title.name].to_pylist()]
            prices += [value and value[0] for value in good[price.name].to_pylist()]
            bad += [row.sentence().removeprefix(f"{path}: ") for row in check.bad_rows]
            assert batch.num_counted == len(check.is_good) + len(batch.passed_over)
        return titles, prices, bad

    return _read


def test_a_german_file_is_read(read):
    content = "title;price\nMüller;1,76\nStraße;1.234,5\nKöln;-12\n;\n"
    form = Csv(delimiter=";", encoding="latin-1", decimal=",")
    assert read(content.encode("latin-1"), form) == (
        ["Müller", "Straße", "Köln", None],
        [pytest.approx(1.76), 1234.5, -12, None],
        [],
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("1,5", 1.5), ("1.234", 1234), ("1.234.567,25", 1234567.25), ("1 234,5", 1234.5)),
        *(("1\u00a0234,5", 1234.5), ("1'234,5", 1234.5), ("-,5", -0.5), ("3e2", 300), ("12", 12)),
    ],
)
def test_numbers_with_a_decimal_comma(read, text, number):
    form = Csv(delimiter=";", decimal=",")
    assert read(f"title;price\na;0\nb;{text}\n", form) == (["a", "b"], [0, number], [])


@pytest.mark.parametrize("text", ["1.5", "1.2345", "1,2,3", "12.34,5", "1,234.5"])
def test_a_number_that_may_be_another_is_a_bad_row(read, text):
    titles, _, bad = read(f"title;price\na;0\nb;{text}\n", Csv(delimiter=";", decimal=","))
    assert titles == ["a"]
    assert len(bad) == 1
    assert bad[0].startswith(f"row 2, column 'price': '{text}' is not a number")


@pytest.mark.parametrize("encoding", ["shift_jis", "euc_jp", "utf-16", "utf-16-be", "cp932"])
def test_a_japanese_file_is_read(read, encoding):
    content = "商品名,価格\n" + "カメラ,100\n表示ソ,200\n" * 30
    form = Csv(encoding=encoding)
    title, price = RawColumn("商品名", "text"), RawColumn("価格", "number")
    assert read(content.encode(encoding), form, title, price) == (
        ["カメラ", "表示ソ"] * 30,
        [100, 200] * 30,
        [],
    )


def test_bytes_of_another_encoding_are_bad_rows_by_its_name(read):
    content = "title,price\nカメラ,1\n".encode("shift_jis") + b"\xff\xfd,2\nb,3\n"
    titles, prices, bad = read(content, Csv(encoding="shift_jis"))
    assert (titles, prices) == (["カメラ", "b"], [1, 3])
    assert len(bad) == 1
    assert bad[0].endswith("is not shift_jis text")


def test_a_file_of_spark_is_read_with_its_escape(read):
    rows = [r'"a \"b\" c",1', r'"say \"hi\", ok",2', r"C:\new,3", r'"end \"",4', r'"c:\\",5']
    content = "title,price\n" + "\n".join(rows) + "\n"
    expected = ['a "b" c', 'say "hi", ok', r"C:\new", 'end "', "c:\\"]
    assert read(content, Csv(escape="\\")) == (expected, [1, 2, 3, 4, 5], [])


def test_escapes_may_stand_at_the_border_of_any_read(read):
    """A border may fall between an escape and what it escapes."""
    texts = ["x" * size + '\\"' + "y" * 9 for size in range(40)]
    content = "title,price\n" + "".join(f'"{text}",1\n' for text in texts)
    titles, _, bad = read(content, Csv(escape="\\"))
    assert (titles, bad) == ([text.replace("\\", "") for text in texts], [])


@pytest.mark.parametrize("row", [r'"a \"b\" c",1', r'"say \"hi\", ok",1', r'"a \"",1'])
def test_escapes_that_nobody_told_of_are_refused(read, row):
    content = "title,price\n" + "plain,1\n" * 3 + f"{row}\n" * 2
    with pytest.raises(DataError, match=r"seems to escape quotes .* `source\.csv\.escape"):
        read(content, Csv())


@pytest.mark.parametrize("row", [r'"C:\",1', r"C:\new,1", r"5\" tv,1", r'"a ""b\""",1'])
def test_backslashes_that_are_text_stay(read, row):
    titles, _, bad = read(f"title,price\n{row}\n" * 2, Csv())
    assert "\\" in titles[0]
    assert [sentence for sentence in bad if "price" not in sentence] == []


def test_files_without_quotes_keep_them_as_text(read):
    content = 'title\tprice\n"17 inch\t1\n"a"\t2\n'
    assert read(content, Csv(delimiter="\t", quote=None)) == (['"17 inch', '"a"'], [1, 2], [])


def test_other_quotes(read):
    content = "title,price\n'a, ''b''',1\n\"x\",2\n"
    assert read(content, Csv(quote="'")) == (["a, 'b'", '"x"'], [1, 2], [])


@pytest.mark.parametrize("delimiter", ["::", "||", "§", "\x01", "\t", " "])
def test_any_delimiter(read, delimiter):
    content = delimiter.join(["title", "price\n"])
    content += "".join(
        f'a{row},b{delimiter}{row}\n"a{delimiter}b"{delimiter}1\n' for row in range(9)
    )
    titles, prices, bad = read(content, Csv(delimiter=delimiter))
    assert titles == [text for row in range(9) for text in (f"a{row},b", f"a{delimiter}b")]
    assert prices == [number for row in range(9) for number in (row, 1)]
    assert bad == []


def test_a_file_without_header_has_numbered_columns(read, tmp_path):
    title, price = RawColumn("column_1", "text"), RawColumn("column_3", "number")
    form = Csv(header=False)
    assert read("\na,x,1\nb,x,2\nc\n", form, title, price) == (
        ["a", "b"],
        [1, 2],
        ["row 3: has 1 columns where the header has 3"],
    )
    names = column_names(str(tmp_path / "log.csv"), "csv", form)
    assert names == ["column_1", "column_2", "column_3"]


def test_a_file_without_header_may_be_given_names(read):
    assert read("a,1\nb,2\n", Csv(header=("title", "price"))) == (["a", "b"], [1, 2], [])


def test_a_zero_byte_is_text_and_takes_no_other_row(read):
    content = b"title,price\n" + b"a\0b,1\n" + b"c,2\0\nd,3\n" * 9
    titles, _, bad = read(content, Csv())
    assert titles == ["a\0b"] + ["d"] * 9
    assert len(bad) == 9
    assert all("is not a number" in sentence for sentence in bad)


def test_a_byte_order_mark_in_the_middle_is_text(read):
    content = "title,price\n" + "\ufeffa,1\n" * 3
    assert read(content, Csv()) == (["\ufeffa"] * 3, [1, 1, 1], [])


def test_rows_that_arrow_loses_are_read_slowly(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    path.write_bytes('title,price\n"a ""b"", ü",1\n\0,2\n'.encode())
    parse = csv_log._Parser._parse_by_arrow
    monkeypatch.setattr(
        csv_log._Parser,
        "_parse_by_arrow",
        lambda self, text: [column.slice(1) for column in parse(self, text)],
    )
    (batch,) = read_batches(Part(str(path)), [TITLE, PRICE], "csv")
    assert batch.values.to_pydict() == {"title": ['a "b", ü', "\0"], "price": ["1", "2"]}


def test_a_row_that_nobody_finds_ends_the_run(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    path.write_text("title,price\na,1\nb,2\n")
    monkeypatch.setattr(csv_log._Parser, "_parse_by_arrow", lambda self, text: [pa.array(["a"])])
    monkeypatch.setattr(csv_log, "_parse_slowly", lambda text, marks: [["title", "price"]])
    with pytest.raises(RuntimeError, match="2 rows were counted, and 1 read"):
        list(csv_log.read_csv(str(path), [TITLE]))
