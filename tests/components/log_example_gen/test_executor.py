"""From log files to the splits that TFX reads, with Beam."""

import gzip
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.types import artifact_utils, standard_artifacts
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from taskroute.components.example_files.shard_names import span_of
from taskroute.components.log_example_gen import log_reader, shards
from taskroute.components.log_example_gen.executor import Executor
from taskroute.components.log_example_gen.log_batch import LogBatch
from taskroute.components.log_example_gen.quarantine import Quarantine
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import SPLITS, Source, Split
from taskroute.schemas.tasks import Label, Task

BEAM_ARGS = ["--runner=FnApiRunner", "--sdk_container_image=local"]
COLUMNS = (
    RawColumn("row", "number"),
    RawColumn("user", "text"),
    RawColumn("genres", "texts", "|"),
    RawColumn("age", "number"),
    RawColumn("clicked", "number"),
)
BY_USER = Split(by="hash", key="user", validation=0.2, test=0.2)
BY_TIME = Split(by="time", validation=0.2, test=0.1)
CLICK = Task(name="click", label=Label(column="clicked"))
OLD = Task(name="old", label=Label(column="age", at_least=50.0))
NO_TEST = Split(by="hash", key="user", validation=0.2, test=0)
PARSED = {
    "row": tf.io.FixedLenFeature([], tf.float32),
    "user": tf.io.RaggedFeature(tf.string),
    "genres": tf.io.RaggedFeature(tf.string),
    "age": tf.io.RaggedFeature(tf.float32),
    "clicked": tf.io.RaggedFeature(tf.float32),
}
NUM_ROWS = 1000


def _rows(start=0, stop=NUM_ROWS):
    """Rows in the order of time, four of each second; some ages and clicks are missing."""
    rows = list(range(start, stop))
    return {
        "row": rows,
        "time": [1_700_000_000 + row // 4 for row in rows],
        "user": [f"u{row % 97}" for row in rows],
        "genres": [None if row % 5 == 0 else ["a", "b"][: row % 3] for row in rows],
        "age": [None if row % 7 == 0 else float(row % 10) for row in rows],
        "clicked": [None if row % 11 == 0 else row % 2 for row in rows],
    }


def _write(path: Path, rows) -> Path:
    path.parent.mkdir(exist_ok=True)
    table = pa.table(rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=100)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        genres = ["|".join(value) if value else None for value in rows["genres"]]
        pcsv.write_csv(pa.table({**rows, "genres": pa.array(genres, pa.string())}), path)
    return path


@pytest.fixture
def log(tmp_path) -> Path:
    return _write(tmp_path / "logs" / "log.parquet", _rows())


class _Run:
    """One execution; `examples` is its artifact."""

    def __init__(
        self,
        folder: Path,
        path,
        split=BY_USER,
        tasks=(CLICK,),
        test_path=None,
        beam_args=BEAM_ARGS,
        **source,
    ):
        self.examples, self.quarantine = standard_artifacts.Examples(), Quarantine()
        self.examples.uri = str(folder / "examples")
        self.quarantine.uri = str(folder / "quarantine")
        source = Source(
            path=str(path),
            format=Path(path).suffix[1:],
            test_path=None if test_path is None else str(test_path),
            timestamp="time" if split.by == "time" else None,
            split=split,
            **source,
        )
        properties = {
            "source": source.model_dump_json(),
            "columns": json.dumps([asdict(column) for column in COLUMNS]),
            "tasks": json.dumps([task.model_dump() for task in tasks]),
            "data_fingerprint": "",
            "code_digest": "",
        }
        context = Executor.Context(beam_pipeline_args=list(beam_args))
        outputs = {"examples": [self.examples], "quarantine": [self.quarantine]}
        Executor(context).Do({}, outputs, properties)

    def files(self, split: str) -> list[Path]:
        return sorted(Path(artifact_utils.get_split_uri([self.examples], split)).iterdir())

    def contents(self) -> dict[str, bytes]:
        root = Path(self.examples.uri)
        return {
            str(file.relative_to(root)): file.read_bytes()
            for file in root.rglob("*")
            if file.is_file()
        }

    def bad_rows(self) -> list[dict]:
        files = sorted(Path(self.quarantine.uri).iterdir())
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def records(self, split: str) -> list[bytes]:
        files = [str(file) for file in self.files(split)]
        return list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())

    def rows(self, split: str) -> list[dict]:
        """Examples as parsed by TensorFlow, in the order of the log."""
        parsed = tf.io.parse_example(self.records(split), PARSED)
        columns = {
            name: value.to_list() if isinstance(value, tf.RaggedTensor) else value.numpy().tolist()
            for name, value in parsed.items()
        }
        rows = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        return sorted(rows, key=lambda row: row["row"])

    def numbers(self, split: str) -> list[int]:
        return [int(row["row"]) for row in self.rows(split)]


def _refusal(tmp_path, *args, **kwargs) -> str:
    """The message of an execution that must stop, leaving nothing behind."""
    folder = tmp_path / "refused"
    with pytest.raises(DataError) as error:
        _Run(folder, *args, **kwargs)
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert error.value.__cause__ is None
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("log_format", ["csv", "jsonl", "parquet"])
def test_every_row_is_in_one_split_with_its_values(tmp_path, log_format):
    run = _Run(tmp_path / "out", _write(tmp_path / f"log.{log_format}", _rows()))
    rows = sorted((row for split in SPLITS for row in run.rows(split)), key=lambda r: r["row"])
    given = _rows()
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


def test_every_format_gives_the_same_splits(tmp_path):
    runs = [
        _Run(tmp_path / kind, _write(tmp_path / f"log.{kind}", _rows()))
        for kind in ("csv", "jsonl", "parquet")
    ]
    for split in SPLITS:
        first, *others = (run.rows(split) for run in runs)
        assert all(rows == first for rows in others)


def test_missing_values_are_missing_to_tfx(tmp_path, log):
    record_batch = ExamplesToRecordBatchDecoder().DecodeBatch(
        _Run(tmp_path / "out", log).records("train")
    )
    columns = dict(zip(record_batch.schema.names, record_batch.columns, strict=True))
    rows = columns["row"].flatten().to_numpy().astype(int)
    assert columns["age"].is_null().to_pylist() == [row % 7 == 0 for row in rows]


def test_the_artifact_says_what_it_holds(tmp_path, log):
    run = _Run(tmp_path / "out", log)
    assert artifact_utils.decode_split_names(run.examples.split_names) == list(SPLITS)
    counts = [run.examples.get_int_custom_property(f"num_rows_{split}") for split in SPLITS]
    assert counts == [len(run.records(split)) for split in SPLITS]
    assert sum(counts) == NUM_ROWS
    assert examples_utils.get_payload_format_string(run.examples) == "FORMAT_TF_EXAMPLE"
    assert [file.name for file in run.files("test")] == ["data_tfrecord-00000-of-00001.gz"]
    assert sorted(path.name for path in Path(run.examples.uri).iterdir()) == [
        "Split-test",
        "Split-train",
        "Split-validation",
    ]


def test_the_same_log_gives_the_same_bytes(tmp_path):
    for index in range(3):
        _write(tmp_path / "logs" / f"{index}.csv", _rows(index * 300, index * 300 + 300))
    pattern = tmp_path / "logs" / "*.csv"
    first, second = (_Run(tmp_path / name, pattern).contents() for name in ("a", "b"))
    assert first == second
    assert len(first) == 9


def test_what_a_killed_attempt_left_is_replaced(tmp_path, log):
    expected = _Run(tmp_path / "fresh", log).contents()
    for name in ("examples/unfinished", "examples/Split-train", "quarantine"):
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / "rest.jsonl").touch()
    assert _Run(tmp_path / "out", log).contents() == expected


def test_rows_are_shuffled_within_a_batch(tmp_path, log):
    run = _Run(tmp_path / "out", log, BY_TIME)
    parsed = tf.io.parse_example(run.records("train"), {"row": PARSED["row"]})["row"].numpy()
    assert parsed.tolist() != sorted(parsed.tolist())
    assert np.abs(np.corrcoef(parsed, np.arange(len(parsed)))[0, 1]) < 0.2


def test_large_parts_are_cut_into_shards(tmp_path, log, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 100)
    monkeypatch.setattr(log_reader, "BATCH_ROWS", 50)
    monkeypatch.setattr(log_reader, "_ROWS_PER_PART", 400)
    run = _Run(tmp_path / "out", log)
    names = [file.name for file in run.files("train")]
    count = len(names)
    assert count > 3
    assert names == [f"data_tfrecord-{i:05d}-of-{count:05d}.gz" for i in range(count)]
    assert sum(len(run.records(split)) for split in SPLITS) == NUM_ROWS


class TestHash:
    def test_rows_of_a_key_stay_together(self, tmp_path, log):
        run = _Run(tmp_path / "out", log)
        users = [{row["user"][0] for row in run.rows(split)} for split in SPLITS]
        assert sum(map(len, users)) == 97 == len(set.union(*users))

    def test_the_order_of_the_files_is_no_matter(self, tmp_path):
        splits = []
        for name, order in (("a", (0, 1)), ("b", (1, 0))):
            for place, half in enumerate(order):
                rows = _rows(half * 500, half * 500 + 500)
                _write(tmp_path / f"logs-{name}" / f"{place}.parquet", rows)
            run = _Run(tmp_path / name, tmp_path / f"logs-{name}" / "*.parquet")
            splits.append([run.numbers(split) for split in SPLITS])
        assert splits[0] == splits[1]

    def test_a_row_without_a_key_is_refused(self, tmp_path):
        rows = _rows()
        rows["user"][41] = None
        path = _write(tmp_path / "log.csv", rows)
        message = _refusal(tmp_path, path)
        assert message.startswith(f"{path}: row 42, column 'user': is missing; ")


class TestTime:
    def test_no_train_row_is_later_than_a_test_row(self, tmp_path):
        # The newest rows are in the first file, and both hold rows of one second.
        _write(tmp_path / "logs" / "a.csv", _rows(498, NUM_ROWS))
        _write(tmp_path / "logs" / "b.csv", _rows(0, 498))
        run = _Run(tmp_path / "out", tmp_path / "logs" / "*.csv", BY_TIME)
        train, validation, test = (run.numbers(split) for split in SPLITS)
        assert train == list(range(700))
        assert validation == list(range(700, 900))
        assert test == list(range(900, 1000))

    def test_rows_of_one_second_stay_together(self, tmp_path):
        log = _write(tmp_path / "log.parquet", _rows(0, 90))
        run = _Run(tmp_path / "out", log, Split(by="time", validation=0.11, test=0.11))
        seconds = [{row // 4 for row in run.numbers(split)} for split in SPLITS]
        assert sum(map(len, seconds)) == len(set.union(*seconds))
        assert max(seconds[0]) < min(seconds[1])
        assert max(seconds[1]) < min(seconds[2])

    def test_a_row_without_a_timestamp_is_refused(self, tmp_path):
        rows = _rows()
        rows["time"][500] = None
        path = _write(tmp_path / "log.jsonl", rows)
        message = _refusal(tmp_path, path, BY_TIME)
        assert message.startswith(f"{path}: row 501, column 'time': is missing; ")

    def test_too_few_seconds_are_refused(self, tmp_path):
        path = _write(tmp_path / "log.csv", _rows(0, 8))
        assert "column 'time' holds 2 distinct seconds" in _refusal(tmp_path, path, BY_TIME)


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

    def test_they_are_left_out_and_kept_beside(self, tmp_path):
        log = _write(tmp_path / "log.csv", _spoil(_rows(), **self.BAD))
        run = _Run(tmp_path / "out", log, BY_TIME, max_bad_fraction=0.005)
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

    def test_properties_count_them_by_reason(self, tmp_path):
        log = _write(tmp_path / "log.csv", _spoil(_rows(), **self.BAD))
        run = _Run(tmp_path / "out", log, BY_TIME, max_bad_fraction=0.5)
        counts = {
            name: run.quarantine.get_int_custom_property(f"num_rows_{name}")
            for name in ("not_a_number", "wrong_label", "missing", "not_a_timestamp", "not_finite")
        }
        assert counts == dict.fromkeys(counts, 1)
        assert run.quarantine.get_int_custom_property("num_rows") == 5
        assert run.examples.get_int_custom_property("num_rows_quarantined") == 5
        good = [run.examples.get_int_custom_property(f"num_rows_{split}") for split in SPLITS]
        assert sum(good) == NUM_ROWS - 5

    def test_a_clean_log_has_none(self, tmp_path, log):
        run = _Run(tmp_path / "out", log)
        assert run.bad_rows() == []
        assert run.quarantine.get_int_custom_property("num_rows") == 0

    def test_more_than_the_fraction_stop_the_run(self, tmp_path):
        log = _write(tmp_path / "log.csv", _spoil(_rows(), **self.BAD))
        message = _refusal(tmp_path, log, BY_TIME, max_bad_fraction=0.004)
        assert message.startswith(
            f"{log}: 5 of 1,000 rows are bad (0.50%), more than `source.max_bad_fraction` (0.004) "
            "allows: "
        )
        assert f"1 not_finite, first {log}: row 501, column 'age': 'inf' is not a" in message
        assert message.count("first ") == 5

    def test_they_have_no_part_in_where_the_time_is_cut(self, tmp_path):
        spoilt = dict.fromkeys((row for row in range(NUM_ROWS) if row % 4 < 2), "soon")
        log = _write(tmp_path / "log.csv", _spoil(_rows(), time=spoilt))
        run = _Run(tmp_path / "out", log, BY_TIME, max_bad_fraction=0.5)
        assert [len(run.numbers(split)) for split in SPLITS] == [350, 100, 50]

    def test_those_of_all_files_are_counted(self, tmp_path):
        for index in range(3):
            rows = _spoil(_rows(index * 300, index * 300 + 300), age={index: "old"})
            _write(tmp_path / "logs" / f"{index}.csv", rows)
        run = _Run(tmp_path / "out", tmp_path / "logs" / "*.csv", max_bad_fraction=0.01)
        assert [(Path(bad["file"]).name, bad["row"]) for bad in run.bad_rows()] == [
            ("0.csv", 1),
            ("1.csv", 2),
            ("2.csv", 3),
        ]

    def test_a_row_without_a_key_is_left_out_of_a_split_by_hash(self, tmp_path):
        log = _write(tmp_path / "log.csv", _spoil(_rows(), user={41: "", 700: ""}))
        run = _Run(tmp_path / "out", log, max_bad_fraction=0.01)
        whole = _Run(tmp_path / "whole", _write(tmp_path / "whole.csv", _rows()))
        for split in SPLITS:
            kept = [row for row in whole.numbers(split) if row not in (41, 700)]
            assert run.numbers(split) == kept

    def test_a_log_of_nothing_else_is_refused_for_them(self, tmp_path):
        log = _write(tmp_path / "log.csv", _spoil(_rows(), time=dict.fromkeys(range(1000), "x")))
        message = _refusal(tmp_path, log, BY_TIME, max_bad_fraction=0.1)
        assert "1,000 of 1,000 rows are bad" in message
        assert "1,000 not_a_timestamp" in message


def test_two_workers_give_the_same_bytes(tmp_path):
    for index in range(4):
        rows = _spoil(_rows(index * 250, index * 250 + 250), age={7: "old"})
        _write(tmp_path / "logs" / f"{index}.csv", rows)
    two = [*BEAM_ARGS, "--direct_running_mode=multi_threading", "--direct_num_workers=2"]
    pattern = tmp_path / "logs" / "*.csv"
    one_run = _Run(tmp_path / "one", pattern, BY_TIME, max_bad_fraction=0.1)
    two_run = _Run(tmp_path / "two", pattern, BY_TIME, max_bad_fraction=0.1, beam_args=two)
    assert one_run.contents() == two_run.contents()
    assert one_run.bad_rows() == two_run.bad_rows()


class TestSpans:
    """Days of 250 rows each, a quarter of the log."""

    def _log(self, tmp_path, days) -> Path:
        for index, day in enumerate(days):
            if day is not None:
                rows = _rows(index * 250, index * 250 + 250)
                rows["time"] = [1_704_067_200 + 86_400 * index + row for row in range(250)]
                _write(tmp_path / day / "log.parquet", rows)
        return tmp_path / "{YYYY}-{MM}-{DD}" / "*.parquet"

    DAYS = ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")

    def test_the_window_is_read_and_named(self, tmp_path):
        path = self._log(tmp_path, self.DAYS)
        run = _Run(tmp_path / "out", path, BY_TIME, window_days=2, last_span="2024-01-03")
        assert sorted(n for split in SPLITS for n in run.numbers(split)) == list(range(250, 750))
        assert run.examples.span == 19_725
        assert run.examples.get_string_custom_property("first_span") == "2024-01-02"
        assert run.examples.get_string_custom_property("last_span") == "2024-01-03"
        assert run.examples.get_string_custom_property("missing_spans") == ""

    def test_a_shard_holds_rows_of_one_span_and_says_which(self, tmp_path):
        path = self._log(tmp_path, self.DAYS)
        run = _Run(tmp_path / "out", path, window_days=2, last_span="2024-01-03")
        found = {}
        for file in run.files("train"):
            records = list(tf.data.TFRecordDataset([str(file)], "GZIP").as_numpy_iterator())
            rows = tf.io.parse_example(records, {"row": PARSED["row"]})["row"].numpy()
            found[span_of(file.name)] = (min(rows) // 250, max(rows) // 250)
        assert found == {"2024-01-02": (1, 1), "2024-01-03": (2, 2)}

    def test_the_newest_rows_of_the_window_are_the_test_split(self, tmp_path):
        path = self._log(tmp_path, self.DAYS)
        run = _Run(tmp_path / "out", path, BY_TIME, window_days=4, last_span="2024-01-04")
        assert [(min(run.numbers(s)), max(run.numbers(s))) for s in SPLITS] == [
            (0, 699),
            (700, 899),
            (900, 999),
        ]

    def test_a_missing_day_is_named(self, tmp_path):
        path = self._log(tmp_path, ("2024-01-01", None, "2024-01-03", "2024-01-04"))
        window = {"window_days": 4, "last_span": "2024-01-04"}
        message = _refusal(tmp_path, path, BY_TIME, **window)
        assert "2024-01-02: no file in 1 of the 4 spans up to 2024-01-04" in message
        run = _Run(tmp_path / "out", path, BY_TIME, **window, max_missing_days=1)
        assert run.examples.get_string_custom_property("missing_spans") == "2024-01-02"

    def test_a_day_of_files_without_rows_is_named(self, tmp_path):
        path = self._log(tmp_path, self.DAYS)
        empty = tmp_path / "2024-01-02" / "log.parquet"
        pq.write_table(pq.read_table(empty).slice(0, 0), empty)
        window = {"window_days": 4, "last_span": "2024-01-04"}
        message = _refusal(tmp_path, path, BY_TIME, **window)
        assert "2024-01-02: no row in 1 of the 4 spans" in message
        run = _Run(tmp_path / "out", path, BY_TIME, **window, max_missing_days=1)
        assert run.examples.get_string_custom_property("missing_spans") == "2024-01-02"
        assert run.examples.get_int_custom_property("num_files_without_rows") == 1


class TestTestPath:
    def test_its_rows_are_the_test_split(self, tmp_path, log):
        held_out = _write(tmp_path / "held_out.parquet", _rows(5000, 5100))
        run = _Run(tmp_path / "out", log, NO_TEST, test_path=held_out)
        assert run.numbers("test") == list(range(5000, 5100))
        assert sorted(run.numbers("train") + run.numbers("validation")) == list(range(NUM_ROWS))

    def test_its_rows_need_no_key(self, tmp_path, log):
        rows = _rows(5000, 5100)
        rows["user"] = [None] * 100
        rows["user"] = pa.array(rows["user"], pa.string())
        held_out = _write(tmp_path / "held_out.parquet", rows)
        run = _Run(tmp_path / "out", log, NO_TEST, test_path=held_out)
        assert len(run.records("test")) == 100

    def test_a_file_in_both_is_refused(self, tmp_path, log):
        pattern = log.parent / "*.parquet"
        assert _refusal(tmp_path, log, NO_TEST, test_path=pattern).startswith(
            f"{log}: is in `source.path` and in `source.test_path`"
        )


class TestRefusals:
    def test_no_file(self, tmp_path):
        assert "no file matches" in _refusal(tmp_path, tmp_path / "*.csv")

    def test_a_bad_value_in_the_last_file_leaves_nothing(self, tmp_path):
        rows = _rows()
        _write(tmp_path / "logs" / "a.csv", rows)
        bad = _write(tmp_path / "logs" / "b.csv", {**rows, "age": [*["1"] * 999, "old"]})
        message = _refusal(tmp_path, tmp_path / "logs" / "*.csv")
        assert message.startswith(f"{bad}: row 1000, column 'age': 'old' is not a number; ")

    def test_the_row_is_that_of_the_file_where_parts_are_row_groups(self, tmp_path, monkeypatch):
        monkeypatch.setattr(log_reader, "_ROWS_PER_PART", 200)
        rows = _rows()
        rows["clicked"][777] = 2
        log = _write(tmp_path / "log.parquet", rows)
        assert f"{log}: row 778, column 'clicked': '2' is no label" in _refusal(tmp_path, log)

    def test_a_label_that_is_never_one(self, tmp_path, log):
        message = _refusal(tmp_path, log, tasks=[OLD])
        assert message.startswith("task 'old': the label is 0 in every train row; ")

    def test_a_label_that_is_one_only_outside_train(self, tmp_path):
        rows = _rows()
        rows["clicked"] = [int(row >= 950) for row in rows["row"]]
        log = _write(tmp_path / "log.parquet", rows)
        assert "task 'click': the label is 0 in every train row" in _refusal(tmp_path, log, BY_TIME)

    def test_an_empty_split(self, tmp_path):
        rows = _rows(0, 50)
        rows["user"] = ["u1"] * 50
        assert "no row falls into the" in _refusal(tmp_path, _write(tmp_path / "a.csv", rows))

    def test_a_truncated_file(self, tmp_path):
        content = gzip.compress(_write(tmp_path / "log.csv", _rows()).read_bytes())
        path = tmp_path / "log.csv.gz"
        path.write_bytes(content[:-50])
        source = Source(path=str(path), format="csv", split=BY_USER)
        with pytest.raises(DataError, match="ends too early"):
            list(log_reader.read_batches(log_reader.Part(str(path)), COLUMNS, source.format))


def test_a_lost_row_stops_the_run(tmp_path, log, monkeypatch):
    read = log_reader.read_batches

    def lose_one(*args):
        for batch in read(*args):
            yield LogBatch(batch.file, batch.rows[1:], batch.values.slice(1))

    monkeypatch.setattr(log_reader, "read_batches", lose_one)
    with pytest.raises(RuntimeError, match="999 rows were read, 999 written and 0 quarantined, of"):
        _Run(tmp_path / "out", log)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_the_test_data_has_all_kinds_of_rows():
    rows = _rows()
    assert Counter(rows["clicked"]).keys() == {0, 1, None}
    assert {0.0, None} <= set(rows["age"])
