"""Values that a timestamp column may hold."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from taskroute.components.logs.bad_rows import BadValues
from taskroute.components.logs.timestamps import to_seconds

SECONDS = 1_704_103_200  # 2024-01-01 10:00:00 UTC


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["2024-01-01 10:00:00.9"]),
        pa.array(["2024-01-01T10:00:00Z"]),
        pa.array(["2024-01-01T12:00:00+02:00"]),
        pa.array([" 1704103200 "]),
        pa.array([1_704_103_200]),
        pa.array([1_704_103_200_999]),
        pa.array([1_704_103_200.5]),
        pa.array([1_704_103_200_999_999]),
        pa.array([1_704_103_200_000_000_000]),
        pa.array([datetime.datetime(2024, 1, 1, 10)], pa.timestamp("ms")),
        pa.array([datetime.datetime(2024, 1, 1, 10)], pa.timestamp("ns", "Europe/Berlin")),
    ],
    ids=lambda values: f"{values.type} {values[0].as_py()}",
)
def test_every_form_gives_the_same_second(values):
    assert to_seconds(values).tolist() == [SECONDS]


def test_dates_are_their_first_second():
    day = datetime.date(2024, 1, 2)
    for values in (pa.array([day]), pa.array([day], pa.date64()), pa.array(["2024-01-02"])):
        assert to_seconds(values).tolist() == [1_704_153_600]


def test_times_before_1970_round_down():
    values = pa.array([datetime.datetime(1969, 12, 31, 23, 59, 59, 500_000)])
    assert to_seconds(values).tolist() == [-1]
    assert to_seconds(pa.array([-0.5])).tolist() == [-1]


def test_texts_of_both_forms_may_be_mixed():
    values = pa.array(["2024-01-01 10:00:00", "2024-01-01T10:00:00Z", "1704103200"])
    assert to_seconds(values).tolist() == [SECONDS] * 3


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["2024-01-01", None]),
        pa.array(["2024-01-01", ""]),
        pa.array([5.0, float("nan")]),
        pa.array([5, None]),
        pa.array([datetime.date(2024, 1, 1), None]),
    ],
)
def test_a_row_without_a_timestamp_is_named(values):
    with pytest.raises(BadValues, match="is missing") as error:
        to_seconds(values)
    assert error.value.rows.tolist() == [1]


def test_a_missing_number_beside_other_forms_is_named():
    with pytest.raises(BadValues, match="is missing") as error:
        to_seconds(pa.array(["2024-01-01", "5", "nan"]))
    assert error.value.rows.tolist() == [2]


def test_what_is_no_timestamp_is_named():
    with pytest.raises(BadValues, match="is not a timestamp") as error:
        to_seconds(pa.array(["2024-01-01", "yesterday"]))
    assert error.value.rows.tolist() == [1]
    with pytest.raises(BadValues, match="is not within the years"):
        to_seconds(pa.array([float("inf")]))
    with pytest.raises(BadValues, match="where a timestamp is asked for"):
        to_seconds(pa.array([True]))


@pytest.mark.parametrize("text", ["2500-01-01 00:00:00", "2500-01-01 00:00:00.5", "1500-06-01"])
def test_years_beyond_what_nanoseconds_reach_are_read(text):
    moment = datetime.datetime.fromisoformat(text.partition(".")[0]).replace(tzinfo=datetime.UTC)
    assert to_seconds(pa.array([text])).tolist() == [moment.timestamp()]


@pytest.mark.parametrize("values", [pa.array([5.0, 1e300]), pa.array(["5", "-9e10"])])
def test_an_epoch_that_is_no_time_is_named(values):
    with pytest.raises(BadValues, match="is not within the years 1 to 9999") as error:
        to_seconds(values)
    assert error.value.rows.tolist() == [1]


def test_all_rows_that_are_no_timestamp_are_named_at_once():
    texts = ["2024-01-01", "x", "17", "2024-13-01", "2024-01-01 10:00:00Z", "y"] * 50
    with pytest.raises(BadValues, match="is not a timestamp") as error:
        to_seconds(pa.array(texts))
    assert np.unique(error.value.rows % 6).tolist() == [1, 3, 5]
    assert len(error.value.rows) == 150
