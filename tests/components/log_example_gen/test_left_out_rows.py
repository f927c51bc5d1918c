"""Rows that an execution leaves out and keeps beside, and logs that it refuses."""

import gzip
import json
from pathlib import Path

import pytest

from taskroute.components.logs import log_reader
from taskroute.components.logs.log_batch import LogBatch
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import SPLITS, Split
from taskroute.schemas.tasks import Label, Task

NUM_ROWS = 1000
BY_TIME = Split(by="time", validation=0.2, test=0.1)
OLD = Task(name="old", label=Label(column="age", at_least=50.0))
USER = RawColumn("user", "text")


def _spoil(rows, **values):
    """Rows with other texts at the places given: `age={3: "old"}`."""
    texts = {
        name: ["" if value is None else str(value) for value in column]
        if name != "genres"
        else column
        for name, column in rows.items()
    }
    for name, places in values.items():
        for row, text in places.items():
            texts[name][row] = text
    return texts


class TestBadRows:
    BAD = {"age": {3: "old", 500: "inf"}, "clicked": {4: "2"}, "time": {5: "", 6: "soon"}}

    def test_they_are_left_out_and_kept_beside(self, tmp_path, make_rows, write_log, ingest):
        log = write_log(tmp_path / "log.csv", _spoil(make_rows(), **self.BAD))
        run = ingest(tmp_path / "out", log, BY_TIME, max_bad_fraction=0.005)
        bad = {3, 4, 5, 6, 500}
        numbers = [number for split in SPLITS for number in run.numbers(split)]
        assert sorted(numbers) == [row for row in range(NUM_ROWS) if row not in bad]
        assert run.bad_rows() == [
            {
                "file": str(log),
                "row": row + 1,
                "reason": reason,
                "column": column,
                "problem": problem,
                "value": value,
            }
            for row, reason, column, problem, value in [
                (3, "not_a_number", "age", "is not a number", "old"),
                (
                    4,
                    "wrong_label",
                    "clicked",
                    "is no label: it must be 0 or 1; give `at_least` to make one from a number",
                    "2",
                ),
                (5, "missing", "time", "is missing", ""),
                (6, "not_a_timestamp", "time", "is not a timestamp", "soon"),
                (500, "not_finite", "age", "is not a finite number", "inf"),
            ]
        ]

    def test_properties_count_them_by_reason(self, tmp_path, make_rows, write_log, ingest):
        log = write_log(tmp_path / "log.csv", _spoil(make_rows(), **self.BAD))
        run = ingest(tmp_path / "out", log, BY_TIME, max_bad_fraction=0.5)
        counts = {
            name: run.quarantine.get_int_custom_property(f"num_rows_{name}")
            for name in ("not_a_number", "wrong_label", "missing", "not_a_timestamp", "not_finite")
        }
        assert counts == dict.fromkeys(counts, 1)
        assert run.quarantine.get_int_custom_property("num_rows") == 5
        assert run.examples.get_int_custom_property("num_rows_quarantined") == 5
        good = [run.examples.get_int_custom_property(f"num_rows_{split}") for split in SPLITS]
        assert sum(good) == NUM_ROWS - 5

    def test_a_clean_log_has_none(self, tmp_path, log, ingest):
        run = ingest(tmp_path / "out", log)
        assert run.bad_rows() == []
        assert run.quarantine.get_int_custom_property("num_rows") == 0

    def test_more_than_the_fraction_stop_the_run(self, tmp_path, make_rows, write_log, refusal):
        log = write_log(tmp_path / "log.csv", _spoil(make_rows(), **self.BAD))
        message = refusal(log, BY_TIME, max_bad_fraction=0.004)
        assert message.startswith(
            f"{log}: 5 of 1,000 rows are bad (0.50%), more than `source.max_bad_fraction` (0.004) "
            "allows: "
        )
        assert f"1 not_finite, first {log}: row 501, column 'age': 'inf' is not a" in message
        assert message.count("first ") == 5

    def test_those_that_stop_the_run_are_kept_until_the_next_attempt(
        self, tmp_path, make_rows, write_log, ingest
    ):
        log = write_log(tmp_path / "log.csv", _spoil(make_rows(), **self.BAD))
        with pytest.raises(DataError) as refused:
            ingest(tmp_path / "out", log, BY_TIME, max_bad_fraction=0.004)
        folder = Path(str(refused.value).rpartition("; kept in ")[2])
        (file,) = folder.glob("*.jsonl")
        kept = [json.loads(line) for line in file.read_text().splitlines()]
        assert [row["row"] for row in kept] == [4, 5, 6, 7, 501]
        ingest(tmp_path / "out", log, BY_TIME, max_bad_fraction=0.005)
        assert not folder.exists()

    def test_the_first_ten_of_each_reason_are_shown(self, tmp_path, make_rows, write_log, ingest):
        ages = dict.fromkeys(range(20, 40), "old")
        log = write_log(tmp_path / "log.csv", _spoil(make_rows(), age=ages, clicked={4: "2"}))
        with pytest.raises(DataError) as refused:
            ingest(tmp_path / "out", log, BY_TIME)
        lines = refused.value.details
        assert lines[0] == "not_a_number, the first 10 of 20:"
        assert [line.split(",")[0] for line in lines[1:11]] == [
            f"  {log}: row {row + 1}" for row in range(20, 30)
        ]
        assert lines[11] == "wrong_label, 1:"

    def test_they_have_no_part_in_where_the_time_is_cut(
        self, tmp_path, make_rows, write_log, ingest
    ):
        spoilt = dict.fromkeys((row for row in range(NUM_ROWS) if row % 4 < 2), "soon")
        log = write_log(tmp_path / "log.csv", _spoil(make_rows(), time=spoilt))
        run = ingest(tmp_path / "out", log, BY_TIME, max_bad_fraction=0.5)
        assert [len(run.numbers(split)) for split in SPLITS] == [350, 100, 50]

    def test_those_of_all_files_are_counted(self, tmp_path, make_rows, write_log, ingest):
        for index in range(3):
            rows = _spoil(make_rows(index * 300, index * 300 + 300), age={index: "old"})
            write_log(tmp_path / "logs" / f"{index}.csv", rows)
        run = ingest(tmp_path / "out", tmp_path / "logs" / "*.csv", max_bad_fraction=0.01)
        assert [(Path(bad["file"]).name, bad["row"]) for bad in run.bad_rows()] == [
            ("0.csv", 1),
            ("1.csv", 2),
            ("2.csv", 3),
        ]

    def test_a_row_without_a_key_is_left_out_of_a_split_by_hash(
        self, tmp_path, make_rows, write_log, ingest
    ):
        log = write_log(tmp_path / "log.csv", _spoil(make_rows(), user={41: "", 700: ""}))
        run = ingest(tmp_path / "out", log, max_bad_fraction=0.01)
        whole = ingest(tmp_path / "whole", write_log(tmp_path / "whole.csv", make_rows()))
        for split in SPLITS:
            kept = [row for row in whole.numbers(split) if row not in (41, 700)]
            assert run.numbers(split) == kept

    def test_a_log_of_nothing_else_is_refused_for_them(
        self, tmp_path, make_rows, write_log, refusal
    ):
        log = write_log(
            tmp_path / "log.csv", _spoil(make_rows(), time=dict.fromkeys(range(1000), "x"))
        )
        message = refusal(log, BY_TIME, max_bad_fraction=0.1)
        assert "1,000 of 1,000 rows are bad" in message
        assert "1,000 not_a_timestamp" in message


def test_two_workers_give_the_same_bytes(tmp_path, make_rows, write_log, ingest):
    for index in range(4):
        rows = _spoil(make_rows(index * 250, index * 250 + 250), age={7: "old"})
        write_log(tmp_path / "logs" / f"{index}.csv", rows)
    two = [
        "--runner=FnApiRunner",
        "--sdk_container_image=local",
        "--direct_running_mode=multi_threading",
        "--direct_num_workers=2",
    ]
    pattern = tmp_path / "logs" / "*.csv"
    one_run = ingest(tmp_path / "one", pattern, BY_TIME, max_bad_fraction=0.1)
    two_run = ingest(tmp_path / "two", pattern, BY_TIME, max_bad_fraction=0.1, beam_args=two)
    assert one_run.contents() == two_run.contents()
    assert one_run.bad_rows() == two_run.bad_rows()


class TestRefusals:
    def test_no_file(self, tmp_path, refusal):
        assert "no file matches" in refusal(tmp_path / "*.csv")

    def test_a_bad_value_in_the_last_file_leaves_nothing(
        self, tmp_path, make_rows, write_log, refusal
    ):
        rows = make_rows()
        write_log(tmp_path / "logs" / "a.csv", rows)
        bad = write_log(tmp_path / "logs" / "b.csv", {**rows, "age": [*["1"] * 999, "old"]})
        message = refusal(tmp_path / "logs" / "*.csv")
        assert message.startswith(f"{bad}: row 1000, column 'age': 'old' is not a number; ")

    def test_the_row_is_that_of_the_file_where_parts_are_row_groups(
        self, tmp_path, monkeypatch, make_rows, write_log, refusal
    ):
        monkeypatch.setattr(log_reader, "_ROWS_PER_PART", 200)
        rows = make_rows()
        rows["clicked"][777] = 2
        log = write_log(tmp_path / "log.parquet", rows)
        assert f"{log}: row 778, column 'clicked': '2' is no label" in refusal(log)

    def test_a_label_that_is_never_one(self, log, refusal):
        message = refusal(log, tasks=[OLD])
        assert message.startswith("task 'old': the label is 0 in every train row; ")

    def test_a_label_that_is_one_only_outside_train(self, tmp_path, make_rows, write_log, refusal):
        rows = make_rows()
        rows["clicked"] = [int(row >= 950) for row in rows["row"]]
        log = write_log(tmp_path / "log.parquet", rows)
        assert "task 'click': the label is 0 in every train row" in refusal(log, BY_TIME)

    def test_an_empty_split(self, tmp_path, make_rows, write_log, refusal):
        rows = make_rows(0, 50)
        rows["user"] = ["u1"] * 50
        assert "no row falls into the" in refusal(write_log(tmp_path / "a.csv", rows))

    def test_a_truncated_file(self, tmp_path, make_rows, write_log):
        content = gzip.compress(write_log(tmp_path / "log.csv", make_rows()).read_bytes())
        path = tmp_path / "log.csv.gz"
        path.write_bytes(content[:-50])
        with pytest.raises(DataError, match="ends too early"):
            list(log_reader.read_batches(log_reader.Part(str(path)), [USER], "csv"))


def test_a_lost_row_stops_the_run(tmp_path, log, monkeypatch, ingest):
    read = log_reader.read_batches

    def lose_one(*args):
        for batch in read(*args):
            yield LogBatch(batch.file, batch.rows[1:], batch.values.slice(1))

    monkeypatch.setattr(log_reader, "read_batches", lose_one)
    with pytest.raises(RuntimeError, match="999 rows were read, 999 written and 0 quarantined, of"):
        ingest(tmp_path / "out", log)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []
