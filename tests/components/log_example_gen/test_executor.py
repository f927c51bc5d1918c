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

from taskroute.components.log_example_gen import executor, log_reader
from taskroute.components.log_example_gen.executor import Executor
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

    def __init__(self, folder: Path, path, split=BY_USER, tasks=(CLICK,), test_path=None):
        self.examples = standard_artifacts.Examples()
        self.examples.uri = str(folder)
        folder.mkdir(exist_ok=True)
        source = Source(
            path=str(path),
            format=Path(path).suffix[1:],
            test_path=None if test_path is None else str(test_path),
            timestamp="time" if split.by == "time" else None,
            split=split,
        )
        properties = {
            "source": source.model_dump_json(),
            "columns": json.dumps([asdict(column) for column in COLUMNS]),
            "tasks": json.dumps([task.model_dump() for task in tasks]),
            "data_fingerprint": "",
            "code_digest": "",
        }
        context = Executor.Context(beam_pipeline_args=list(BEAM_ARGS))
        Executor(context).Do({}, {"examples": [self.examples]}, properties)

    def files(self, split: str) -> list[Path]:
        return sorted(Path(artifact_utils.get_split_uri([self.examples], split)).iterdir())

    def contents(self) -> dict[str, bytes]:
        root = Path(self.examples.uri)
        return {
            str(file.relative_to(root)): file.read_bytes()
            for file in root.rglob("*")
            if file.is_file()
        }

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
    assert list(folder.iterdir()) == []
    assert error.value.__cause__ is None
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
    for name in ("unfinished", "Split-train"):
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / "rest").touch()
    assert _Run(tmp_path / "out", log).contents() == expected


def test_rows_are_shuffled_within_a_batch(tmp_path, log):
    run = _Run(tmp_path / "out", log, BY_TIME)
    parsed = tf.io.parse_example(run.records("train"), {"row": PARSED["row"]})["row"].numpy()
    assert parsed.tolist() != sorted(parsed.tolist())
    assert np.abs(np.corrcoef(parsed, np.arange(len(parsed)))[0, 1]) < 0.2


def test_large_parts_are_cut_into_shards(tmp_path, log, monkeypatch):
    monkeypatch.setattr(executor, "_ROWS_PER_SHARD", 100)
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
        assert _refusal(tmp_path, path) == f"{path}: row 42, column 'user': is missing"


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
        assert message == f"{path}: row 501, column 'time': is missing"

    def test_too_few_seconds_are_refused(self, tmp_path):
        path = _write(tmp_path / "log.csv", _rows(0, 8))
        assert "column 'time' holds 2 distinct seconds" in _refusal(tmp_path, path, BY_TIME)


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
        assert message == f"{bad}: row 1000, column 'age': 'old' is not a number"

    def test_the_row_is_that_of_the_file_where_parts_are_row_groups(self, tmp_path, monkeypatch):
        monkeypatch.setattr(log_reader, "_ROWS_PER_PART", 200)
        rows = _rows()
        rows["clicked"][777] = 2
        log = _write(tmp_path / "log.parquet", rows)
        assert f"{log}: row 778, column 'clicked': a label must be 0 or 1, not 2" in _refusal(
            tmp_path, log
        )

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
            list(log_reader.read_batches(log_reader.Part(path), COLUMNS, source.format))


def test_a_lost_row_stops_the_run(tmp_path, log, monkeypatch):
    read = log_reader.read_batches

    def lose_one(*args):
        for batch in read(*args):
            yield log_reader.LogBatch(batch.file, batch.first_row, batch.values.slice(1))

    monkeypatch.setattr(log_reader, "read_batches", lose_one)
    with pytest.raises(RuntimeError, match="999 rows were read and 999 written, of 1000"):
        _Run(tmp_path / "out", log)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_test_data_has_all_kinds_of_rows():
    rows = _rows()
    assert Counter(rows["clicked"]).keys() == {0, 1, None}
    assert {0.0, None} <= set(rows["age"])
