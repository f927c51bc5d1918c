"""The sample log is what it says: its labels follow its true probabilities."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
import pytest
from sklearn.metrics import roc_auc_score

from taskroute.pipeline.sample_log.best_auc import best_auc
from taskroute.pipeline.sample_log.sample_files import write_sample_days, write_sample_log
from taskroute.pipeline.sample_log.sample_log import (
    LONG_VIEW_SECONDS,
    SampleLogSpec,
    make_sample_log,
)
from taskroute.schemas.columns import raw_columns
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.recommender import load_config

SMALL = SampleLogSpec(num_rows=5_000, num_users=200, num_items=100)
GIVEN_CLICK = ("like", "share", "long_view")


@pytest.fixture(scope="module")
def log():
    """The log at its full size."""
    return make_sample_log(SampleLogSpec())


@pytest.fixture(scope="module")
def small_log():
    return make_sample_log(SMALL)


def labels_of(log, task_name):
    if task_name == "long_view":
        return log.table["watch_seconds"].to_numpy() >= LONG_VIEW_SECONDS
    column = {"click": "clicked", "like": "liked", "share": "shared"}[task_name]
    return log.table[column].to_numpy() == 1


def rows_of(log, task_name):
    clicked = labels_of(log, "click")
    return clicked if task_name in GIVEN_CLICK else np.ones_like(clicked)


def num_terms(log, column):
    return pa.compute.count_distinct(log.table[column]).as_py()


def test_the_same_spec_gives_the_same_log(small_log):
    again = make_sample_log(SMALL)
    assert again.table.equals(small_log.table)
    for name, probability in small_log.true_probabilities.items():
        np.testing.assert_array_equal(again.true_probabilities[name], probability)


def test_another_seed_gives_another_log(small_log):
    spec = SampleLogSpec(SMALL.num_rows, SMALL.num_users, SMALL.num_items, seed=2)
    assert not make_sample_log(spec).table["clicked"].equals(small_log.table["clicked"])


def test_the_log_has_the_rows_users_items_and_days_asked_for(log):
    spec = SampleLogSpec()
    assert log.table.num_rows == spec.num_rows
    assert 0.9 * spec.num_users < num_terms(log, "user_id") <= spec.num_users
    assert 0.9 * spec.num_items < num_terms(log, "item_id") <= spec.num_items
    seconds = log.table["event_time"].to_numpy().astype("datetime64[s]").astype(np.int64)
    assert (seconds[-1] - seconds[0]) / 86_400 == pytest.approx(spec.num_days, abs=0.1)


def test_rows_are_sorted_by_time(log):
    assert (np.diff(log.table["event_time"].to_numpy()) >= np.timedelta64(0)).all()


def test_a_session_shows_positions_in_order_and_no_item_twice(log):
    rows = log.table.select(["session_id", "position", "item_id", "user_id"]).to_pandas()
    sessions = rows.groupby("session_id")
    assert (rows["position"] == sessions.cumcount() + 1).all()
    assert (sessions["item_id"].nunique() == sessions.size()).all()
    assert (sessions["user_id"].nunique() == 1).all()


def test_no_item_is_shown_before_it_is_published(log):
    assert pa.compute.min(log.table["item_age_days"]).as_py() >= 0


def test_some_items_appear_only_in_the_newest_tenth_and_most_are_known_before(log):
    items = log.table["item_id"]
    start = int(0.9 * log.table.num_rows)
    is_known = pa.compute.is_in(items[start:], pa.compute.unique(items[:start])).to_numpy()
    assert 0.9 < is_known.mean() < 1


def test_nothing_is_watched_liked_or_shared_without_a_click(log):
    not_clicked = ~labels_of(log, "click")
    for column in ("watch_seconds", "liked", "shared"):
        assert not log.table[column].to_numpy()[not_clicked].any()
        assert log.table[column].to_numpy()[~not_clicked].any()


def test_no_watch_is_longer_than_the_video(log):
    longest = log.table["video_seconds"].to_numpy()
    assert not (log.table["watch_seconds"].to_numpy() > longest).any()


@pytest.mark.parametrize(
    ("task_name", "rate"), [("click", 0.10), ("like", 0.08), ("share", 0.025), ("long_view", 0.40)]
)
def test_rates_are_those_of_a_feed(log, task_name, rate):
    labels = labels_of(log, task_name)[rows_of(log, task_name)]
    assert labels.mean() == pytest.approx(rate, rel=0.1)


@pytest.mark.parametrize("task_name", ["click", *GIVEN_CLICK])
def test_labels_are_drawn_with_the_true_probabilities(log, task_name):
    rows = rows_of(log, task_name)
    labels = labels_of(log, task_name)[rows].astype(float)
    probability = log.true_probabilities[task_name][rows]
    for group in np.array_split(np.argsort(probability), 10):
        expected, variance = probability[group], probability[group] * (1 - probability[group])
        error = np.sqrt(variance.sum()) / len(group)
        assert abs(labels[group].mean() - expected.mean()) <= 4.5 * error


@pytest.mark.parametrize("task_name", ["click", *GIVEN_CLICK])
def test_the_best_auc_is_that_of_scikit_learn(log, task_name):
    rows = rows_of(log, task_name)
    newest = np.arange(log.table.num_rows) >= 0.9 * log.table.num_rows
    for mask, argument in (
        (rows, None),
        (rows & newest, newest),
        (rows & newest, np.flatnonzero(newest)),
    ):
        expected = roc_auc_score(
            labels_of(log, task_name)[mask], log.true_probabilities[task_name][mask]
        )
        assert best_auc(log, task_name, argument) == pytest.approx(expected, abs=1e-12)


def test_the_best_auc_of_one_class_is_nan(small_log):
    not_clicked = np.flatnonzero(~labels_of(small_log, "click"))
    assert np.isnan(best_auc(small_log, "click", not_clicked))
    assert np.isnan(best_auc(small_log, "like", not_clicked))


def test_clicks_can_be_told_apart_but_not_trivially(log):
    assert 0.75 < best_auc(log, "click") < 0.82


def test_higher_positions_are_clicked_more(log):
    position, clicked = log.table["position"].to_numpy(), labels_of(log, "click")
    rates = [clicked[position == shown].mean() for shown in (1, 3, 8, 16)]
    assert (np.diff(rates) < 0).all()


def test_relatedness_moves_the_correlation_of_click_and_like():
    correlations = []
    for relatedness in (0.0, 0.25, 0.5, 0.75, 1.0):
        spec = SampleLogSpec(num_rows=20_000, relatedness=relatedness)
        truth = make_sample_log(spec).true_probabilities
        correlations.append(np.corrcoef(truth["click"], truth["like"])[0, 1])
    assert (np.diff(correlations) > 0.05).all()
    assert abs(correlations[0]) < 0.15


def test_a_tenth_of_the_items_takes_most_impressions(log):
    counts = np.sort(pa.compute.value_counts(log.table["item_id"]).field("counts").to_numpy())
    head = counts[-SampleLogSpec().num_items // 10 :].sum() / counts.sum()
    assert 0.4 < head < 0.8


def test_values_are_missing_where_the_spec_says_and_nowhere_else(log):
    expected = SampleLogSpec().missing_fraction
    for name in log.table.column_names:
        fraction = log.table[name].null_count / log.table.num_rows
        if name in ("user_age", "country", "video_seconds"):
            assert fraction == pytest.approx(expected, rel=0.1)
        else:
            assert fraction == 0


def test_csv_and_parquet_hold_the_same_values(small_log, tmp_path):
    write_sample_log(small_log, tmp_path / "log.parquet", "parquet")
    write_sample_log(small_log, tmp_path / "log.csv", "csv")
    from_parquet = pa.parquet.read_table(tmp_path / "log.parquet")
    assert from_parquet.equals(small_log.table)
    from_csv = pa.csv.read_csv(
        tmp_path / "log.csv",
        convert_options=pa.csv.ConvertOptions(
            column_types=small_log.table.schema,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    assert from_csv.equals(small_log.table)


def test_nothing_is_left_beside_the_file(small_log, tmp_path):
    write_sample_log(small_log, tmp_path / "new" / "log.csv", "csv")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["log.csv"]


@pytest.mark.parametrize("log_format", ["parquet", "csv"])
def test_a_file_is_written_anew_only_for_another_log(small_log, tmp_path, log_format):
    path = tmp_path / "log"
    write_sample_log(small_log, path, log_format)
    os.utime(path, (0, 0))
    write_sample_log(small_log, path, log_format)
    assert path.stat().st_mtime == 0
    shorter = dataclasses.replace(small_log, table=small_log.table.slice(1))
    write_sample_log(shorter, path, log_format)
    assert path.stat().st_mtime > 0
    assert [file.name for file in tmp_path.iterdir()] == ["log"]


def test_a_log_that_cannot_be_written_leaves_the_old_one(small_log, tmp_path, monkeypatch):
    path = tmp_path / "log.parquet"
    path.write_text("old")

    def disk_is_full(*arguments):
        arguments[1].write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pa.parquet, "write_table", disk_is_full)
    with pytest.raises(ConfigError, match=r"log\.parquet.*No space left"):
        write_sample_log(small_log, path, "parquet")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_one_sentence(small_log, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError, match="choose another folder"):
        write_sample_log(small_log, tmp_path / "file" / "log.csv", "csv")


@pytest.mark.parametrize(
    "wrong",
    [{"num_rows": 0}, {"num_items": 10}, {"relatedness": 1.5}, {"missing_fraction": 1.0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_spec_out_of_range_is_refused_with_the_field_and_the_value(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigError, match=rf"`{name}` .*Received: {name}={value}"):
        SampleLogSpec(**wrong)


@pytest.mark.parametrize("num_rows", [1, 3_000])
def test_the_smallest_logs_can_be_drawn(num_rows):
    spec = SampleLogSpec(num_rows=num_rows, num_users=10, num_items=80, num_days=1)
    assert make_sample_log(spec).table.num_rows == num_rows


def test_the_demo_config_reads_columns_of_the_log(small_log):
    config = load_config(Path(__file__).parents[3] / "examples" / "demo.yaml")
    numbers = {column.name for column in raw_columns(config) if column.kind == "number"}
    for column in raw_columns(config):
        kind = small_log.table.schema.field(column.name).type
        assert pa.types.is_string(kind) == (column.name not in numbers)
    assert config.source.timestamp == "event_time"


def test_the_demo_config_reads_the_long_view_as_the_truth_means_it():
    config = load_config(Path(__file__).parents[3] / "examples" / "demo.yaml")
    labels = {task.name: task.label for task in config.tasks}
    assert labels["long_view"].column == "watch_seconds"
    assert labels["long_view"].at_least == LONG_VIEW_SECONDS


def test_every_row_is_in_the_file_of_its_day(tmp_path):
    log = make_sample_log(SampleLogSpec(num_rows=2_000, num_users=50, num_items=90, num_days=3))
    days = write_sample_days(log, tmp_path)
    assert days[:3] == ("2026-01-05", "2026-01-06", "2026-01-07")
    parts = [pa.parquet.read_table(tmp_path / day / "log.parquet") for day in days]
    for day, part in zip(days, parts, strict=True):
        assert set(part["event_time"].to_numpy().astype("datetime64[D]").astype(str)) == {day}
    assert pa.concat_tables(parts).equals(log.table)
