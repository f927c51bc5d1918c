"""Values that a timestamp column may hold."""

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskroute.components.logs.bad_rows import BadValues
from taskroute.components.logs.log_batch import LogBatch, RowCheck
from taskroute.components.logs.log_reader import Part, read_batches
from taskroute.components.logs.timestamps import to_seconds
from taskroute.schemas.columns import RawColumn

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


@pytest.mark.parametrize(
    "text",
    [
        *("2024-01-01 10:00:00 UTC", "2024-01-01 10:00:00.123456 UTC", "2024-01-01 10:00:00 GMT"),
        *("2024-01-01 10:00:00Z", "2024-01-01 10:00:00 Z", "2024-01-01 10:00:00+00"),
        *("2024-01-01 12:00:00 +0200", "2024-01-01 10:00:00 -00:00", "01.01.2024 10:00:00"),
        *("1.1.2024 10:00", "01.01.2024, 10:00:00", "2024/01/01 10:00:00", "2024/1/1 10:00:00.5"),
        *("2024-1-1 10:0:0", "2024年1月1日 10時0分0秒", "２０２４年１月１日１０時００分"),
        *("Mon, 01 Jan 2024 10:00:00 GMT", "1 Jan 2024 12:00:00 +0200"),
        *("01/Jan/2024:10:00:00 +0000", "01-JAN-2024 10:00:00"),
    ],
)
def test_dates_of_other_forms_are_read_where_their_order_is_clear(text):
    assert to_seconds(pa.array([text])).tolist() == [SECONDS]
    mixed = to_seconds(pa.array(["1704103200", text, "2024-01-01T10:00:00"]))
    assert mixed.tolist() == [SECONDS] * 3


@pytest.mark.parametrize("text", ["31.02.2024", "2024/13/01", "32 Jan 2024", "2024年2月30日"])
def test_a_day_that_no_calendar_has_is_no_timestamp(text):
    with pytest.raises(BadValues, match="is not a timestamp"):
        to_seconds(pa.array([text]))


def test_a_date_of_either_order_asks_for_a_format():
    texts = pa.array(["2024-01-01", "03/04/2024", "25/04/2024 10:00", "3-4-24"])
    with pytest.raises(BadValues, match=r"which number is the day; give `source\.timestamp_f") as e:
        to_seconds(texts)
    assert (e.value.reason, e.value.rows.tolist()) == ("not_a_timestamp", [1, 2, 3])


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%d/%m/%Y %H:%M:%S", "01/01/2024 10:00:00"),
        ("%d/%m/%Y %H:%M:%S", "1/1/2024 10:00:00"),
        ("%m/%d/%Y %I:%M:%S %p", "01/01/2024 10:00:00 AM"),
        ("%Y-%m-%d %H:%M:%S.%f %z", "2024-01-01 12:00:00.25 +0200"),
        ("%Y%m%d%H", "2024010110"),
        ("epoch_s", "1704103200"),
        ("epoch_ms", "1704103200999"),
    ],
)
def test_a_format_given_by_hand_is_read(form, text):
    assert to_seconds(pa.array([text, text]), form).tolist() == [SECONDS] * 2
    if text.isdigit():
        assert to_seconds(pa.array([int(text)]), form).tolist() == [SECONDS]


def test_a_time_that_is_not_of_the_format_is_named():
    texts = pa.array(["30/02/2024", "01/03/2024", "2024-03-01"])
    with pytest.raises(BadValues, match=r"is not of `source\.timestamp_format` .%d/%m/%Y") as error:
        to_seconds(texts, "%d/%m/%Y")
    assert error.value.rows.tolist() == [0, 2]
    with pytest.raises(BadValues, match="is missing"):
        to_seconds(pa.array(["01/03/2024", None]), "%d/%m/%Y")
    with pytest.raises(BadValues, match=r"is not a number, as `source\.timestamp_format` says"):
        to_seconds(pa.array(["5", "x"]), "epoch_ms")
    with pytest.raises(BadValues, match="is not within the years"):
        to_seconds(pa.array([1e300]), "epoch_s")


@pytest.mark.parametrize("make", [lambda numbers: numbers, lambda numbers: map(str, numbers)])
def test_days_in_digits_are_told_from_epochs(make):
    digits = {20240301: 0, 20240302: 86_400, 20240301235959: 86_399, 202403010001: 60}
    for number, after in digits.items():
        assert to_seconds(pa.array(make([number]))).tolist() == [1_709_251_200 + after]
    counted = np.arange(19_000_000, 21_100_000, 7).tolist()
    assert to_seconds(pa.array(make(counted))).tolist() == counted
    milliseconds = np.arange(190001010000, 210012312359, 12_345_678).tolist()
    expected = [number // 1000 for number in milliseconds]
    assert to_seconds(pa.array(make(milliseconds))).tolist() == expected


def test_a_number_that_is_no_day_among_days_is_named():
    with pytest.raises(BadValues, match="is no day as the others, such as 20240301") as error:
        to_seconds(pa.array([20240301, 20240231, 0, 20240302, 20240303, 99991231]))
    assert error.value.rows.tolist() == [1, 2, 5]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([2**63 - 1], pa.timestamp("s")),
        pa.array([-(2**63) + 1], pa.timestamp("us")),
        pa.array([2**31 - 1], pa.int32()).view(pa.date32()),
        pa.array([2**63 - 1], pa.int64()).view(pa.date64()),
        pa.array([10**37], pa.decimal128(38)),
        pa.array([1e300]),
        pa.array(["-9999-01-01"]),
    ],
    ids=lambda values: str(values.type),
)
def test_a_time_that_its_type_cannot_hold_is_a_bad_row(values):
    batch = LogBatch("log", np.arange(1, 2), pa.record_batch({"time": values}))
    check = RowCheck(batch)
    check.seconds("time")
    (row,) = check.bad_rows
    assert row.reason == "not_a_timestamp"
    assert row.value is not None


def test_a_day_of_64_bits_loses_its_time_of_day():
    values = pa.array([1_704_103_200_500], pa.int64()).view(pa.date64())
    assert to_seconds(values).tolist() == [SECONDS]


def test_the_year_9999_of_spark_is_not_1816(tmp_path):
    times = pa.array([datetime.datetime(9999, 12, 31), datetime.datetime(2024, 1, 1, 10)])
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"time": times}), path, use_deprecated_int96_timestamps=True)
    (batch,) = read_batches(Part(str(path)), [RawColumn("time", "text")], "parquet")
    assert RowCheck(batch).seconds("time").tolist() == [253_402_214_400, SECONDS]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_the_year_9999_of_a_text_is_read(tmp_path, suffix):
    path = tmp_path / f"log.{suffix}"
    texts = ("9999-12-31 00:00:00.5", "9999-12-31T00:00:00Z", "9999-12-31")
    lines = [*(["time"] if suffix == "csv" else [])]
    lines += [text if suffix == "csv" else f'{{"time": "{text}"}}' for text in texts]
    path.write_text("".join(f"{line}\n" for line in lines))
    (batch,) = read_batches(Part(str(path)), [RawColumn("time", "text")], suffix)
    assert RowCheck(batch).seconds("time").tolist() == [253_402_214_400] * 3
