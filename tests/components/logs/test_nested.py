"""Columns inside objects, and columns of any name: the same values from Parquet and JSON Lines."""

import json
import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskroute.components.logs import log_reader
from taskroute.components.logs.log_batch import RowCheck
from taskroute.components.logs.log_reader import Part, column_names, read_batches
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError

ROWS = [
    {"user": {"id": 7, "geo": {"city": "Köln"}}, "events": [{"item": "a"}, {"item": "b"}], "n": 1},
    {"user": None, "events": [], "n": 2},
    {"user": {"id": 8, "geo": None}, "events": None, "n": 3},
    {"user": {"id": None, "geo": {"city": None}}, "events": [{"item": "c"}], "n": 4},
]
CITY, USER = RawColumn("user.geo.city", "text"), RawColumn("user.id", "text")
ITEMS = RawColumn("events.item", "texts")


@pytest.fixture(params=["parquet", "jsonl"])
def write(tmp_path, request):
    def write(rows):
        path = tmp_path / f"log.{request.param}"
        if request.param == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path), request.param

    return write


def read(file, columns):
    path, log_format = file
    values = {column.name: [] for column in columns}
    for batch in read_batches(Part(path), columns, log_format):
        check = RowCheck(batch)
        converted = check.convert(columns)
        assert check.bad_rows == []
        for name, lists in values.items():
            lists += converted[name].to_pylist()
    return values


def test_fields_of_objects_are_columns(write):
    values = read(write(ROWS), [USER, CITY, ITEMS, RawColumn("n", "number")])
    assert values["user.id"] == [[b"7"], None, [b"8"], None]
    assert values["user.geo.city"] == [["Köln".encode()], None, None, None]
    assert values["events.item"] == [[b"a", b"b"], None, None, [b"c"]]
    assert values["n"] == [[1.0], [2.0], [3.0], [4.0]]


def test_a_field_is_read_alone(write):
    assert read(write(ROWS), [CITY])["user.geo.city"] == [["Köln".encode()], None, None, None]


def test_a_column_of_that_very_name_comes_first(write):
    rows = [{**row, "user.id": f"x{place}"} for place, row in enumerate(ROWS)]
    values = read(write(rows), [USER, CITY])
    assert values["user.id"] == [[b"x0"], [b"x1"], [b"x2"], [b"x3"]]
    assert values["user.geo.city"][0] == ["Köln".encode()]


def test_nested_columns_are_listed(write):
    assert sorted(column_names(*write(ROWS))) == ["events.item", "n", "user.geo.city", "user.id"]


def test_a_misspelt_field_is_refused_with_the_right_one(write):
    path, log_format = write(ROWS)
    with pytest.raises(DataError, match=r"no column 'user\.idd'; did you mean 'user\.id'"):
        log_reader.require_somewhere(path, [path], [RawColumn("user.idd", "text")], log_format)


def test_a_block_of_several_types_is_read_line_by_line_with_the_same_result(tmp_path):
    rows = [*ROWS, {"user": {"id": "q"}, "events": [{"item": 5}, {}], "n": 5}, {"user": "none"}]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = read((str(path), "jsonl"), [USER, ITEMS])
    assert values["user.id"] == [[b"7"], None, [b"8"], None, [b"q"], None]
    assert values["events.item"] == [[b"a", b"b"], None, None, [b"c"], [b"5"], None]


def test_a_map_of_parquet_is_read_by_its_keys(tmp_path):
    kind = pa.map_(pa.string(), pa.string())
    values = pa.array([[("os", "ios"), ("app", "2")], [], None, [("app", "3")]], kind)
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"context": values}), path)
    column = RawColumn("context.app", "text")
    assert read((str(path), "parquet"), [column])["context.app"] == [[b"2"], None, None, [b"3"]]


def test_a_name_that_only_looks_the_same_is_told_apart(tmp_path):
    path = str(tmp_path / "log.parquet")
    pq.write_table(pa.table({unicodedata.normalize("NFD", "Größe"): [1]}), path)
    column = RawColumn(unicodedata.normalize("NFC", "Größe"), "number")
    with pytest.raises(DataError, match="other Unicode characters that look the same"):
        log_reader.require_somewhere(path, [path], [column], "parquet")


ODD = ["class", "self", "Größe (cm)", "ユーザー", "a b", "x/y", '"q"', "X-Device", "🙂", "user.id"]


@pytest.mark.parametrize("log_format", ["csv", "jsonl", "parquet"])
def test_a_column_of_any_name_is_read(tmp_path, log_format):
    table = pa.table({name: [f"{place}", "z"] for place, name in enumerate(ODD)})
    path = tmp_path / f"log.{log_format}"
    if log_format == "parquet":
        pq.write_table(table, path)
    elif log_format == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        header = ",".join('"' + name.replace('"', '""') + '"' for name in ODD)
        rows = [",".join(row.values()) for row in table.to_pylist()]
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    values = read((str(path), log_format), [RawColumn(name, "text") for name in ODD])
    assert values == {name: [[f"{p}".encode()], [b"z"]] for p, name in enumerate(ODD)}


@pytest.mark.parametrize("key", ["Größe", "a/b"])
@pytest.mark.parametrize("spelling", [json.dumps, lambda key: json.dumps(key, ensure_ascii=False)])
def test_a_rare_key_is_found_however_it_is_escaped(tmp_path, key, spelling):
    lines = ['{"n": 1}\n'] * 1500 + [f'{{"n": 2, {spelling(key)}: "v"}}\n']
    path = tmp_path / "log.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    values = read((str(path), "jsonl"), [RawColumn(key, "text"), RawColumn("n", "number")])
    assert values[key][-1] == [b"v"]
    assert values[key][:-1] == [None] * 1500
