"""`taskroute check` shows labels and splits as a run will take them."""

import json

import pytest

from taskroute.pipeline.inspection.check import check_log
from taskroute.pipeline.inspection.check_tables import print_check
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import RecommenderConfig

START = 1_709_251_200  # 2024-03-01
WATCH = {"name": "watch", "label": {"column": "seconds", "at_least": 30}}
LIKE = {"name": "like", "label": {"column": "liked"}, "trained_where": "watch"}


def checked(tmp_path, rows, *tasks, **source):
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = RecommenderConfig.model_validate(
        {
            "name": "shop",
            "source": {
                "path": "log.jsonl",
                "format": "jsonl",
                "timestamp": "time",
                "split": {"by": "time", "validation": 0.1, "test": 0.1},
                **source,
            },
            "features": [{"name": "user", "kind": "categorical", "hash_buckets": 9}],
            "tasks": tasks,
        }
    )
    return config, check_log(config, tmp_path)


def log(num_rows=1000, **columns):
    """Rows of which a fifth are watched, and seven in ten of those liked."""
    rows = []
    for row in range(num_rows):
        is_watched = row % 5 == 0
        values = {
            "user": f"u{row % 9}",
            "time": START + 60 * row,
            "seconds": 30 if is_watched else 2,
            "liked": int((is_watched and row % 10 < 5) or row % 50 == 5),
        }
        rows.append(values | {name: value(row) for name, value in columns.items()})
    return rows


def test_rates_are_those_of_the_rows_that_count(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    config, sample = checked(tmp_path, log(), WATCH, LIKE)
    print_check(config, sample)
    lines = capsys.readouterr().out.splitlines()
    cells = {line.split()[0]: line.split()[3:] for line in lines if " binary " in line}
    assert cells["watch"] == ["100.0%", "100.0%", "20.00%"]
    assert cells["like"] == ["100.0%", "20.0%", "60.00%"]
    assert "train                800 rows  2024-03-01 00:00:00 to 2024-03-01 13:19:00" in lines
    assert "cut at 2024-03-01 13:20:00 (validation) and 2024-03-01 15:00:00 (test)" in lines
    assert max(map(len, lines)) <= 80
    assert not sample.findings


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (1000, "task 'like': no row counts for it: 1,000 have a weight of 0 or none"),
        (850, "task 'like': no train row counts for it: 800 have a weight of 0 or none"),
    ],
)
def test_a_task_without_weights_is_refused(tmp_path, first, message):
    like = {"name": "like", "label": {"column": "liked"}, "weight": "weight"}
    rows = log(weight=lambda row: float(row >= first))
    with pytest.raises(DataError, match=message):
        checked(tmp_path, rows, WATCH, like)


def test_positives_that_lie_outside_the_condition_are_none(tmp_path):
    rows = log(liked=lambda row: int(row % 5 == 1))
    message = r"'like': the label is 0 in every row that counts \(800 do not meet `trained_where`\)"
    with pytest.raises(DataError, match=message):
        checked(tmp_path, rows, WATCH, LIKE)


def test_a_missing_label_after_no_event_is_0(tmp_path):
    rows = log(liked=lambda row: (row // 5) % 2 if row % 5 == 0 else None)
    buy = {"name": "buy", "label": {"column": "liked"}, "funnel": "watch"}
    _, sample = checked(tmp_path, rows, WATCH, buy)
    counts = sample.labels["buy"]
    assert (counts.counted, counts.positives, counts.missing) == (1000, 100, 0)


def test_few_distinct_times_are_told(tmp_path):
    rows = log(time=lambda row: f"0{1 + row // 334}.03.2024")
    _, sample = checked(tmp_path, rows, WATCH)
    (finding,) = sample.findings
    assert (finding.kind, finding.subject) == ("time", "time")
    assert "3 distinct times leave 33% / 33% / 33% of the rows" in finding.sentence


def test_a_format_given_by_hand_is_read(tmp_path):
    rows = log(time=lambda row: f"{1 + row // 60:02}/03/2024 10:{row % 60:02}")
    with pytest.raises(DataError, match="does not say which number is the day"):
        checked(tmp_path, rows, WATCH)
    _, sample = checked(tmp_path, rows, WATCH, timestamp_format="%d/%m/%Y %H:%M")
    assert sample.splits.made.times.first == "2024-03-01 10:00:00"
    assert sample.splits.made.times.last == "2024-03-17 10:39:00"
