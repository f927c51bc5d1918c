"""Columns that come and go: missing where a file lacks them, counted, told; or refused."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskroute.components.log_example_gen import executor
from taskroute.components.logs.examples import ABSENT_COLUMNS, SERVED_COLUMNS, columns_in
from taskroute.schemas.columns import RawColumn, stored_for_served
from taskroute.schemas.findings import Findings
from taskroute.schemas.source import Split

FORMATS = pytest.mark.parametrize("log_format", ["csv", "jsonl", "parquet"])


def without(rows, *names):
    return {name: values for name, values in rows.items() if name not in names}


@pytest.fixture
def two_files(tmp_path, make_rows, write_log):
    """Writes a log of two files; the first one lacks columns."""

    def write(log_format, *lacking):
        first, second = make_rows(0, 500), make_rows(500, 1000)
        for name, rows in (("1", without(first, *lacking)), ("2", second)):
            path = tmp_path / "logs" / f"{name}.{log_format}"
            if log_format == "csv" and "genres" in lacking and name == "1":
                rows = {**rows, "genres": [None] * 500}
                table = path.parent / "any.csv"
                write_log(table, rows)
                lines = [line.split(",") for line in table.read_text().splitlines()]
                place = lines[0].index('"genres"')
                kept = [",".join(line[:place] + line[place + 1 :]) for line in lines]
                path.write_text("\n".join(kept) + "\n")
                table.unlink()
            else:
                write_log(path, rows)
        return tmp_path / "logs" / f"*.{log_format}"

    return write


def findings(run):
    found = Findings.find(run.quarantine.uri)
    return {} if found is None else {each.subject: each.sentence for each in found.findings}


@FORMATS
def test_a_column_that_one_file_lacks_is_missing_there_and_told(
    tmp_path, two_files, ingest, log_format
):
    run = ingest(tmp_path / "out", two_files(log_format, "age"))
    rows = [row for split in ("train", "validation", "test") for row in run.rows(split)]
    assert len(rows) == 1000
    assert {row["row"] for row in rows if row["age"]} == {r for r in range(500, 1000) if r % 7}
    (sentence,) = findings(run).values()
    assert sentence.startswith("column 'age', which 1 of 2 files lack, first ")
    assert "missing in their 500 of 1,000 rows" in sentence


@FORMATS
def test_a_label_that_one_file_lacks_is_unknown_there(tmp_path, two_files, ingest, log_format):
    run = ingest(tmp_path / "out", two_files(log_format, "clicked"))
    known = {row["row"] for split in ("train", "test") for row in run.rows(split) if row["clicked"]}
    assert min(known) >= 500
    assert "those rows count for no task" in findings(run)["clicked"]


def test_a_log_with_every_column_everywhere_tells_nothing(tmp_path, two_files, ingest):
    assert findings(ingest(tmp_path / "out", two_files("csv"))) == {}


@FORMATS
def test_a_required_column_must_be_in_every_file(
    tmp_path, two_files, ingest, refusal, log_format, monkeypatch
):
    require(monkeypatch, "age")
    assert "1." in (message := refusal(two_files(log_format, "age")))
    assert "there is no column 'age'" in message


def require(monkeypatch, name):
    """Makes a column one of every file, however the properties have it."""

    def make(**fields):
        need = "every_file" if fields["name"] == name else fields["need"]
        return RawColumn(**{**fields, "need": need})

    monkeypatch.setattr(executor, "RawColumn", make)


@FORMATS
def test_a_column_that_no_file_has_is_refused_at_once(two_files, refusal, log_format, make_rows):
    path = two_files(log_format, "age")
    (path.parent / f"2.{log_format}").unlink()
    assert "there is no column 'age'" in refusal(path)


@FORMATS
def test_the_split_key_must_be_in_every_file(two_files, refusal, log_format):
    message = refusal(two_files(log_format, "user"))
    assert "there is no column 'user'" in message


def test_a_column_without_any_value_is_told(tmp_path, make_rows, write_log, ingest):
    rows = {
        **make_rows(),
        "age": pa.nulls(1000),
        "genres": pa.array([[]] * 1000, pa.list_(pa.null())),
    }
    run = ingest(tmp_path / "out", write_log(tmp_path / "logs" / "log.parquet", rows))
    assert set(findings(run)) == {"age", "genres"}
    assert "no value in any row" in findings(run)["age"]
    assert run.table("train")["age"].null_count == len(run.table("train"))


def test_a_required_column_without_any_value_is_refused(
    tmp_path, make_rows, write_log, refusal, monkeypatch
):
    require(monkeypatch, "age")
    rows = {**make_rows(), "age": pa.nulls(1000)}
    message = refusal(write_log(tmp_path / "logs" / "log.parquet", rows))
    assert "column 'age' has no value in any row" in message
    assert "required" in message


def test_a_column_of_the_newest_rows_only_is_told_to_teach_nothing(
    tmp_path, make_rows, write_log, ingest
):
    rows = make_rows()
    rows["age"] = [None] * 900 + rows["age"][900:]
    by_time = Split(by="time", validation=0.2, test=0.2)
    run = ingest(tmp_path / "out", write_log(tmp_path / "logs" / "log.csv", rows), by_time)
    assert "no value in any train row" in findings(run)["age"]


def test_types_may_differ_between_files(tmp_path, make_rows, ingest):
    folder = tmp_path / "logs"
    folder.mkdir()
    first, second = make_rows(0, 500), make_rows(500, 1000)
    second["age"] = [None if age is None else f"{age:g}" for age in second["age"]]
    second["row"] = [float(row) for row in second["row"]]
    for name, rows in (("1", first), ("2", second)):
        pq.write_table(pa.table(rows), folder / f"{name}.parquet")
    run = ingest(tmp_path / "out", folder / "*.parquet")
    rows = [row for split in ("train", "validation", "test") for row in run.rows(split)]
    assert {row["row"]: row["age"] for row in rows} == {
        row: [] if row % 7 == 0 else [float(row % 10)] for row in range(1000)
    }


def test_a_key_of_one_file_of_json_lines_may_be_rare(tmp_path, make_rows, ingest, write_log):
    folder = tmp_path / "logs"
    write_log(folder / "1.jsonl", without(make_rows(0, 500), "age"))
    lines = [{**row} for row in pa.table(make_rows(500, 3000)).to_pylist()]
    for line in lines[:-1]:
        del line["age"]
    (folder / "2.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = ingest(tmp_path / "out", folder / "*.jsonl")
    rows = [row for split in ("train", "validation", "test") for row in run.rows(split)]
    assert [row["row"] for row in rows if row["age"]] == [2999]


def with_served(monkeypatch, *columns):
    served = tuple(RawColumn(name, kind, None, "no_file") for name, kind in columns)
    monkeypatch.setattr(executor, "with_served_columns", lambda own, _: (*own, *served))


def test_a_column_of_the_served_version_is_kept_and_named(
    tmp_path, make_rows, write_log, ingest, monkeypatch
):
    with_served(monkeypatch, ("old", "number"), ("gone", "text"))
    rows = make_rows()
    rows["old"] = [f"{row}" if row % 3 else "no number" for row in rows["row"]]
    path = write_log(tmp_path / "logs" / "log.csv", rows)
    run = ingest(tmp_path / "out", path, serving_folder="serving")
    assert run.bad_rows() == []
    assert findings(run) == {}
    rows = [row for split in ("train", "validation", "test") for row in run.rows(split)]
    assert {row["row"]: row["old"] for row in rows} == {
        row: [float(row)] if row % 3 else [] for row in range(1000)
    }
    assert not any(row["gone"] for row in rows)
    assert columns_in(run.examples, SERVED_COLUMNS) == ("old", "gone")
    assert columns_in(run.examples, ABSENT_COLUMNS) == ("gone",)


@FORMATS
def test_a_column_that_the_served_version_reads_otherwise_is_stored_twice(
    tmp_path, make_rows, write_log, ingest, monkeypatch, log_format
):
    name = stored_for_served("user", "number")
    served = RawColumn("user", "number", None, "no_file", name)
    monkeypatch.setattr(executor, "with_served_columns", lambda own, _: (*own, served))
    rows = {**make_rows(), "user": [f"{row % 97}" if row % 3 else "none" for row in range(1000)]}
    path = write_log(tmp_path / "logs" / f"log.{log_format}", rows)
    run = ingest(tmp_path / "out", path, serving_folder="serving")
    for row in run.rows("train"):
        number = int(row["row"])
        assert row["user"] == [f"{number % 97}".encode() if number % 3 else b"none"]
        assert row[name] == ([float(number % 97)] if number % 3 else [])


def test_a_served_column_of_objects_stops_nothing(tmp_path, make_rows, ingest, monkeypatch):
    with_served(monkeypatch, ("old", "number"))
    table = pa.table({**make_rows(), "old": [{"a": 1}] * 1000})
    (tmp_path / "logs").mkdir()
    pq.write_table(table, tmp_path / "logs" / "log.parquet")
    run = ingest(tmp_path / "out", tmp_path / "logs" / "log.parquet", serving_folder="serving")
    assert run.table("train")["old"].null_count == len(run.table("train"))
