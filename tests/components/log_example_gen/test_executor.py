"""From log files to the splits that TFX reads, with Beam."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tfx.components.util import examples_utils
from tfx.types import artifact_utils

from taskroute.components.log_example_gen import shards
from taskroute.components.logs import log_reader
from taskroute.components.logs.examples import span_of
from taskroute.schemas.source import SPLITS, Split

NUM_ROWS = 1000
BY_TIME = Split(by="time", validation=0.2, test=0.1)
NO_TEST = Split(by="hash", key="user", validation=0.2, test=0)


@pytest.mark.parametrize("log_format", ["csv", "jsonl", "parquet"])
def test_every_row_is_in_one_split_with_its_values(
    tmp_path, log_format, make_rows, write_log, ingest
):
    run = ingest(tmp_path / "out", write_log(tmp_path / f"log.{log_format}", make_rows()))
    rows = sorted((row for split in SPLITS for row in run.rows(split)), key=lambda r: r["row"])
    given = make_rows()
    assert [int(row["row"]) for row in rows] == given["row"]
    assert [row["user"] for row in rows] == [[user.encode()] for user in given["user"]]
    assert [row["genres"] for row in rows] == [
        [genre.encode() for genre in genres or []] for genres in given["genres"]
    ]
    for name in ("age", "clicked"):
        assert [row[name] for row in rows] == [
            [] if value is None else [float(value)] for value in given[name]
        ]
    assert {float(row["age"][0]) for row in rows if row["age"]} >= {0.0}


def test_every_format_gives_the_same_splits(tmp_path, make_rows, write_log, ingest):
    runs = [
        ingest(tmp_path / kind, write_log(tmp_path / f"log.{kind}", make_rows()))
        for kind in ("csv", "jsonl", "parquet")
    ]
    for split in SPLITS:
        first, *others = (run.rows(split) for run in runs)
        assert all(rows == first for rows in others)


def test_missing_values_are_null(tmp_path, log, ingest):
    table = ingest(tmp_path / "out", log).table("train")
    rows = [int(row) for (row,) in table["row"].to_pylist()]
    assert table["age"].is_null().to_pylist() == [row % 7 == 0 for row in rows]
    kinds = {field.name: field.type.value_type for field in table.schema}
    number, text = pa.float32(), pa.binary()
    assert kinds == {"row": number, "user": text, "genres": text, "age": number, "clicked": number}


def test_the_artifact_says_what_it_holds(tmp_path, log, ingest):
    run = ingest(tmp_path / "out", log)
    assert artifact_utils.decode_split_names(run.examples.split_names) == list(SPLITS)
    counts = [run.examples.get_int_custom_property(f"num_rows_{split}") for split in SPLITS]
    assert counts == [len(run.table(split)) for split in SPLITS]
    assert sum(counts) == NUM_ROWS
    assert examples_utils.get_payload_format_string(run.examples) == "FORMAT_PARQUET"
    assert [file.name for file in run.files("test")] == ["data_examples-00000-of-00001.parquet"]
    assert sorted(path.name for path in Path(run.examples.uri).iterdir()) == [
        "Split-test",
        "Split-train",
        "Split-validation",
    ]


def test_the_same_log_gives_the_same_bytes(tmp_path, make_rows, write_log, ingest):
    for index in range(3):
        write_log(tmp_path / "logs" / f"{index}.csv", make_rows(index * 300, index * 300 + 300))
    pattern = tmp_path / "logs" / "*.csv"
    first, second = (ingest(tmp_path / name, pattern).contents() for name in ("a", "b"))
    assert first == second
    assert len(first) == 9


def test_what_a_killed_attempt_left_is_replaced(tmp_path, log, ingest):
    expected = ingest(tmp_path / "fresh", log).contents()
    for name in ("examples/unfinished", "examples/Split-train", "quarantine"):
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / "rest.jsonl").touch()
    assert ingest(tmp_path / "out", log).contents() == expected


def test_rows_are_shuffled_within_a_batch(tmp_path, log, ingest):
    run = ingest(tmp_path / "out", log, BY_TIME)
    rows = [row for (row,) in run.table("train")["row"].to_pylist()]
    assert rows != sorted(rows)
    assert np.abs(np.corrcoef(rows, np.arange(len(rows)))[0, 1]) < 0.2


def test_large_parts_are_cut_into_shards(tmp_path, log, monkeypatch, ingest):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 100)
    monkeypatch.setattr(log_reader, "BATCH_ROWS", 50)
    monkeypatch.setattr(log_reader, "_ROWS_PER_PART", 400)
    run = ingest(tmp_path / "out", log)
    names = [file.name for file in run.files("train")]
    count = len(names)
    assert count > 3
    assert names == [f"data_examples-{i:05d}-of-{count:05d}.parquet" for i in range(count)]
    assert sum(len(run.table(split)) for split in SPLITS) == NUM_ROWS


class TestHash:
    def test_rows_of_a_key_stay_together(self, tmp_path, log, ingest):
        run = ingest(tmp_path / "out", log)
        users = [{row["user"][0] for row in run.rows(split)} for split in SPLITS]
        assert sum(map(len, users)) == 97 == len(set.union(*users))

    def test_the_order_of_the_files_is_no_matter(self, tmp_path, make_rows, write_log, ingest):
        splits = []
        for name, order in (("a", (0, 1)), ("b", (1, 0))):
            for place, half in enumerate(order):
                rows = make_rows(half * 500, half * 500 + 500)
                write_log(tmp_path / f"logs-{name}" / f"{place}.parquet", rows)
            run = ingest(tmp_path / name, tmp_path / f"logs-{name}" / "*.parquet")
            splits.append([run.numbers(split) for split in SPLITS])
        assert splits[0] == splits[1]

    def test_a_row_without_a_key_is_refused(self, tmp_path, make_rows, write_log, refusal):
        rows = make_rows()
        rows["user"][41] = None
        path = write_log(tmp_path / "log.csv", rows)
        message = refusal(path)
        assert message.startswith(f"{path}: row 42, column 'user': is missing; ")


class TestTime:
    def test_no_train_row_is_later_than_a_test_row(self, tmp_path, make_rows, write_log, ingest):
        # The newest rows are in the first file, and both hold rows of one second.
        write_log(tmp_path / "logs" / "a.csv", make_rows(498, NUM_ROWS))
        write_log(tmp_path / "logs" / "b.csv", make_rows(0, 498))
        run = ingest(tmp_path / "out", tmp_path / "logs" / "*.csv", BY_TIME)
        train, validation, test = (run.numbers(split) for split in SPLITS)
        assert train == list(range(700))
        assert validation == list(range(700, 900))
        assert test == list(range(900, 1000))

    def test_rows_of_one_second_stay_together(self, tmp_path, make_rows, write_log, ingest):
        log = write_log(tmp_path / "log.parquet", make_rows(0, 90))
        run = ingest(tmp_path / "out", log, Split(by="time", validation=0.11, test=0.11))
        seconds = [{row // 4 for row in run.numbers(split)} for split in SPLITS]
        assert sum(map(len, seconds)) == len(set.union(*seconds))
        assert max(seconds[0]) < min(seconds[1])
        assert max(seconds[1]) < min(seconds[2])

    def test_a_row_without_a_timestamp_is_refused(self, tmp_path, make_rows, write_log, refusal):
        rows = make_rows()
        rows["time"][500] = None
        path = write_log(tmp_path / "log.jsonl", rows)
        message = refusal(path, BY_TIME)
        assert message.startswith(f"{path}: row 501, column 'time': is missing; ")

    def test_too_few_seconds_are_refused(self, tmp_path, make_rows, write_log, refusal):
        path = write_log(tmp_path / "log.csv", make_rows(0, 8))
        assert "column 'time' holds 2 distinct seconds" in refusal(path, BY_TIME)


class TestSpans:
    """Days of 250 rows each, a quarter of the log."""

    @pytest.fixture
    def log_of_days(self, tmp_path, make_rows, write_log):
        """Writes the days that are no None; returns the pattern of their files."""

        def write(days):
            for index, day in enumerate(days):
                if day is not None:
                    rows = make_rows(index * 250, index * 250 + 250)
                    rows["time"] = [1_704_067_200 + 86_400 * index + row for row in range(250)]
                    write_log(tmp_path / day / "log.parquet", rows)
            return tmp_path / "{YYYY}-{MM}-{DD}" / "*.parquet"

        return write

    DAYS = ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")

    def test_the_window_is_read_and_named(self, tmp_path, ingest, log_of_days):
        path = log_of_days(self.DAYS)
        run = ingest(tmp_path / "out", path, BY_TIME, window_days=2, last_span="2024-01-03")
        assert sorted(n for split in SPLITS for n in run.numbers(split)) == list(range(250, 750))
        assert run.examples.span == 19_725
        assert run.examples.get_string_custom_property("first_span") == "2024-01-02"
        assert run.examples.get_string_custom_property("last_span") == "2024-01-03"
        assert run.examples.get_string_custom_property("missing_spans") == ""

    def test_without_a_last_span_the_newest_when_it_runs_is_read(
        self, tmp_path, ingest, log_of_days
    ):
        path = log_of_days(self.DAYS)
        run = ingest(tmp_path / "out", path, BY_TIME, window_days=2)
        assert run.examples.get_string_custom_property("last_span") == "2024-01-04"

    def test_a_shard_holds_rows_of_one_span_and_says_which(self, tmp_path, ingest, log_of_days):
        path = log_of_days(self.DAYS)
        run = ingest(tmp_path / "out", path, window_days=2, last_span="2024-01-03")
        found = {}
        for file in run.files("train"):
            rows = [row for (row,) in pq.read_table(file)["row"].to_pylist()]
            found[span_of(file.name)] = (min(rows) // 250, max(rows) // 250)
        assert found == {"2024-01-02": (1, 1), "2024-01-03": (2, 2)}

    def test_the_newest_rows_of_the_window_are_the_test_split(self, tmp_path, ingest, log_of_days):
        path = log_of_days(self.DAYS)
        run = ingest(tmp_path / "out", path, BY_TIME, window_days=4, last_span="2024-01-04")
        assert [(min(run.numbers(s)), max(run.numbers(s))) for s in SPLITS] == [
            (0, 699),
            (700, 899),
            (900, 999),
        ]

    def test_a_missing_day_is_named(self, tmp_path, ingest, refusal, log_of_days):
        path = log_of_days(("2024-01-01", None, "2024-01-03", "2024-01-04"))
        window = {"window_days": 4, "last_span": "2024-01-04"}
        message = refusal(path, BY_TIME, **window)
        assert "2024-01-02: no file in 1 of the 4 spans up to 2024-01-04" in message
        run = ingest(tmp_path / "out", path, BY_TIME, **window, max_missing_days=1)
        assert run.examples.get_string_custom_property("missing_spans") == "2024-01-02"

    def test_a_day_of_files_without_rows_is_named(self, tmp_path, ingest, refusal, log_of_days):
        path = log_of_days(self.DAYS)
        empty = tmp_path / "2024-01-02" / "log.parquet"
        pq.write_table(pq.read_table(empty).slice(0, 0), empty)
        window = {"window_days": 4, "last_span": "2024-01-04"}
        message = refusal(path, BY_TIME, **window)
        assert "2024-01-02: no row in 1 of the 4 spans" in message
        run = ingest(tmp_path / "out", path, BY_TIME, **window, max_missing_days=1)
        assert run.examples.get_string_custom_property("missing_spans") == "2024-01-02"
        assert run.examples.get_int_custom_property("num_files_without_rows") == 1


class TestTestPath:
    def test_its_rows_are_the_test_split(self, tmp_path, log, make_rows, write_log, ingest):
        held_out = write_log(tmp_path / "held_out.parquet", make_rows(5000, 5100))
        run = ingest(tmp_path / "out", log, NO_TEST, test_path=held_out)
        assert run.numbers("test") == list(range(5000, 5100))
        assert sorted(run.numbers("train") + run.numbers("validation")) == list(range(NUM_ROWS))

    def test_its_rows_need_no_key(self, tmp_path, log, make_rows, write_log, ingest):
        rows = make_rows(5000, 5100)
        rows["user"] = [None] * 100
        rows["user"] = pa.array(rows["user"], pa.string())
        held_out = write_log(tmp_path / "held_out.parquet", rows)
        run = ingest(tmp_path / "out", log, NO_TEST, test_path=held_out)
        assert len(run.table("test")) == 100

    def test_a_file_in_both_is_refused(self, log, refusal):
        pattern = log.parent / "*.parquet"
        assert refusal(log, NO_TEST, test_path=pattern).startswith(
            f"{log}: is in `source.path` and in `source.test_path`"
        )


def test_the_test_data_has_all_kinds_ofmake_rows(make_rows):
    rows = make_rows()
    assert Counter(rows["clicked"]).keys() == {0, 1, None}
    assert {0.0, None} <= set(rows["age"])
