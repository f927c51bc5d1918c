"""Splits and labels: what they are is left for a person, and refused where nothing counts."""

import numpy as np
import pyarrow as pa
import pytest

from taskroute.schemas.findings import Findings
from taskroute.schemas.log_splits import LogSplits, SplitRows, TimeRange, split_lines
from taskroute.schemas.source import Split
from taskroute.schemas.tasks import Label, Task

BY_TIME = Split(by="time", validation=0.1, test=0.1)
DAY = 86_400
START = 1_709_251_200  # 2024-03-01
NUM_ROWS = 1000
CLICK = Task(name="click", label=Label(column="clicked"))


def table(seconds, **columns):
    """Rows of `conftest`'s columns; half of them are clicked."""
    rows = np.arange(len(seconds))
    defaults = {
        "row": rows.astype(np.float32),
        "user": [f"u{row % 7}" for row in rows],
        "genres": ["a|b"] * len(rows),
        "age": rows % 50,
        "clicked": rows % 2,
        "time": seconds,
    }
    return pa.table({**defaults, **columns})


def found(run):
    record = Findings.find(run.quarantine.uri)
    return [] if record is None else [(one.kind, one.sentence) for one in record.findings]


def test_times_and_rows_of_each_split_and_the_cut_are_left(ingest, write_log, tmp_path):
    path = write_log(tmp_path / "log.parquet", table(START + 60 * np.arange(NUM_ROWS)))
    run = ingest(tmp_path / "out", path, BY_TIME)
    made = LogSplits.read(run.quarantine.uri)
    assert made == LogSplits(
        by="time",
        times=TimeRange(first="2024-03-01 00:00:00", last="2024-03-01 16:39:00"),
        cut={"validation": "2024-03-01 13:20:00", "test": "2024-03-01 15:00:00"},
        num_times=NUM_ROWS,
        splits={
            "train": SplitRows(
                rows=800, times=TimeRange(first="2024-03-01 00:00:00", last="2024-03-01 13:19:00")
            ),
            "validation": SplitRows(
                rows=100, times=TimeRange(first="2024-03-01 13:20:00", last="2024-03-01 14:59:00")
            ),
            "test": SplitRows(
                rows=100, times=TimeRange(first="2024-03-01 15:00:00", last="2024-03-01 16:39:00")
            ),
        },
    )
    lines = split_lines(made)
    assert lines[0] == ("cut at 2024-03-01 13:20:00 (validation) and 2024-03-01 15:00:00 (test)")
    assert lines[1] == ("train                800 rows  2024-03-01 00:00:00 to 2024-03-01 13:19:00")
    assert max(map(len, lines)) <= 76
    assert not found(run)


def test_a_split_by_hash_has_rows_and_no_times(ingest, write_log, tmp_path):
    path = write_log(
        tmp_path / "log.parquet",
        table(START + np.arange(NUM_ROWS), user=[f"u{row}" for row in range(NUM_ROWS)]),
    )
    run = ingest(tmp_path / "out", path)
    made = LogSplits.read(run.quarantine.uri)
    assert (made.by, made.times, made.cut, made.num_times) == ("hash", None, {}, None)
    assert sum(split.rows for split in made.splits.values()) == NUM_ROWS


def test_three_distinct_times_are_told_with_the_shares_they_leave(ingest, write_log, tmp_path):
    path = write_log(tmp_path / "log.parquet", table(START + DAY * (np.arange(900) // 300)))
    ((kind, sentence),) = found(ingest(tmp_path / "out", path, BY_TIME))
    assert kind == "time"
    assert sentence == (
        "the cut by 'time': rows of one time stay together, and 3 distinct times leave 33% / 33% / "
        "33% of the rows for train / validation / test where 80% / 10% / 10% is asked for; give "
        "finer timestamps, or `split.by: hash` with a key such as the user's column"
    )


@pytest.mark.parametrize(
    ("is_there", "split"),
    [((0.0, 0.0), "train"), ((0.0, 0.75), "validation"), ((0.0, 0.95), "test")],
)
def test_a_task_without_weights_in_a_split_is_refused(
    refusal, write_log, tmp_path, is_there, split
):
    share = np.arange(NUM_ROWS) / NUM_ROWS
    age = ((share >= is_there[0]) & (share < is_there[1])).astype(float)
    age[-1] = 1.0 if split == "train" else age[-1]
    path = write_log(tmp_path / "log.parquet", table(START + np.arange(NUM_ROWS), age=age))
    weighted = Task(name="a", label=Label(column="clicked"), weight="age")
    split_rule = Split(by="time", validation=0.1, test=0.04)
    message = refusal(path, split_rule, (CLICK, weighted))
    assert message.startswith(f"task 'a': no {split} row counts for it: ")
    assert "have a weight of 0 or none; mend the column, or leave the task out" in message


def test_positives_outside_the_condition_are_no_positives(refusal, write_log, tmp_path):
    rows = np.arange(NUM_ROWS)
    content = table(START + rows, age=(rows % 4 == 0).astype(float))
    path = write_log(tmp_path / "log.parquet", content)
    like = Task(name="like", label=Label(column="age"), trained_where="click")
    message = refusal(path, BY_TIME, (CLICK, like))
    assert message.startswith(
        "task 'like': the label is 0 in every train row that counts (400 do not meet "
        "`trained_where`)"
    )


def test_one_class_in_validation_and_labels_against_their_funnel_are_told(
    ingest, write_log, tmp_path
):
    rows = np.arange(NUM_ROWS)
    bought = (rows % 2) * (rows < 700) + (rows == 0)
    content = table(START + rows, age=bought.astype(float))
    path = write_log(tmp_path / "log.parquet", content)
    buy = Task(name="buy", label=Label(column="age"), funnel="click")
    sentences = [
        sentence for _, sentence in found(ingest(tmp_path / "out", path, BY_TIME, (CLICK, buy)))
    ]
    assert sentences == [
        "task 'buy': its label is 1 in 1 rows where its `funnel` task's is 0, which no funnel "
        "allows; mend either column, or leave out `funnel`",
        "task 'buy': its label is 0 in each of the 100 validation rows that count, and its "
        "calibration is fitted on no other; give `source.split.validation` a larger share",
        "task 'buy': its label is 0 in each of the 100 test rows that count, and it has no AUC; "
        "give `source.split.test` a larger share",
    ]
