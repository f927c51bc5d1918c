"""The window of days, or of numbered spans, that a run reads."""

from datetime import date

import pytest

from taskroute.components.logs import spans
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import Source, Split

TODAY = date(2024, 3, 5)


def _source(folder, path="{YYYY}-{MM}-{DD}/*.csv", **fields) -> Source:
    fields = {"window_days": 3, **fields}
    split = Split(by="hash", key="user")
    return Source(path=f"{folder}/{path}", format="csv", split=split, **fields)


@pytest.fixture
def logs(tmp_path):
    """Makes files of the names given, by default of four days."""

    def make(*names):
        for name in names or [f"2024-03-0{day}/log.csv" for day in (1, 2, 3, 4)]:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def _refusal(work) -> str:
    with pytest.raises(DataError) as error:
        work()
    return str(error.value)


class TestNewest:
    def test_it_is_the_newest_day_that_is_over(self, logs):
        folder = logs(
            "2024-03-03/a.csv", "2024-03-04/a.csv", "2024-03-05/a.csv", "2024-03-09/a.csv"
        )
        assert spans.resolve(_source(folder), TODAY).last_span == "2024-03-04"

    def test_a_day_that_is_said_stays(self, logs):
        source = _source(logs(), last_span="2024-03-02")
        assert spans.resolve(source, TODAY) is source

    def test_a_path_without_spans_stays(self, tmp_path):
        source = _source(tmp_path, "log.csv", window_days=None)
        assert spans.resolve(source, TODAY) is source
        assert spans.read_window(source) is None

    def test_a_done_file_says_which_is_complete(self, logs):
        folder = logs("2024-03-04/a.csv", "2024-03-04/_SUCCESS", "2024-03-05/a.csv")
        source = _source(folder, done_file="_SUCCESS")
        assert spans.resolve(source, TODAY).last_span == "2024-03-04"
        logs("2024-03-05/_SUCCESS")
        assert spans.resolve(source, TODAY).last_span == "2024-03-05"

    def test_a_number_is_greater_by_value_not_by_text(self, logs):
        folder = logs("span-9/a.csv", "span-10/a.csv", "span-x/a.csv")
        assert spans.resolve(_source(folder, "span-{SPAN}/*.csv")).last_span == "10"

    def test_none_is_refused(self, logs):
        folder = logs("2024-03-05/a.csv")
        message = _refusal(lambda: spans.resolve(_source(folder), TODAY))
        assert message.endswith("no day is over; today is 2024-03-05 in UTC; check `source.path`")
        source = _source(folder, done_file="_SUCCESS")
        assert "no day has a file _SUCCESS" in _refusal(lambda: spans.resolve(source, TODAY))
        source = _source(folder, "{YYYY}/{MM}/{DD}.csv")
        assert "no file matches" in _refusal(lambda: spans.resolve(source, TODAY))

    def test_what_is_no_day_of_the_calendar_is_passed_over(self, logs):
        folder = logs("2024-02-31/a.csv", "2024-02-29/a.csv")
        assert spans.resolve(_source(folder), TODAY).last_span == "2024-02-29"


class TestWindow:
    def test_it_ends_at_the_last_span(self, logs):
        window = spans.read_window(_source(logs(), last_span="2024-03-03"))
        assert window.spans == ("2024-03-01", "2024-03-02", "2024-03-03")
        assert window.missing == ()
        names = [file.split("/")[-2] for files in window.files for file in files]
        assert names == ["2024-03-01", "2024-03-02", "2024-03-03"]

    def test_it_passes_over_the_end_of_a_month(self, logs):
        folder = logs("2024/02/28.csv", "2024/02/29.csv", "2024/03/01.csv")
        window = spans.read_window(_source(folder, "{YYYY}/{MM}/{DD}.csv", last_span="2024-03-01"))
        assert window.spans == ("2024-02-28", "2024-02-29", "2024-03-01")

    def test_missing_days_are_named(self, logs):
        folder = logs("2024-03-01/a.csv", "2024-03-04/a.csv")
        source = _source(folder, window_days=4, last_span="2024-03-04")
        message = _refusal(lambda: spans.read_window(source))
        assert "2024-03-02, 2024-03-03: no file in 2 of the 4 spans up to 2024-03-04" in message
        allowed = source.model_copy(update={"max_missing_days": 2})
        assert spans.read_window(allowed).missing == ("2024-03-02", "2024-03-03")

    def test_a_field_may_come_twice(self, logs):
        folder = logs("2024/2024-03-01.csv", "2023/2024-03-01.csv")
        path = "{YYYY}/{YYYY}-{MM}-{DD}.csv"
        window = spans.read_window(_source(folder, path, window_days=1, last_span="2024-03-01"))
        assert [file.removeprefix(f"{folder}/") for file in window.files[0]] == [
            "2024/2024-03-01.csv"
        ]

    def test_numbers_may_have_leading_zeros(self, logs):
        folder = logs("s008/a.csv", "s009/a.csv", "s010/a.csv", "s010/b.csv")
        source = _source(folder, "s{SPAN}/*.csv", window_days=2, last_span="10")
        window = spans.read_window(source)
        assert window.spans == ("9", "10")
        assert [len(files) for files in window.files] == [1, 2]

    def test_patterns_beside_the_fields_are_followed(self, logs):
        folder = logs("app1/x/2024-03-01.h01.csv", "app2/2024-03-01.h02.csv", "2024-03-01.csv")
        path = "**/2024-{MM}-{DD}.h0[0-9]{YYYY}.csv".replace("2024", "{YYYY}").replace(
            "{YYYY}.csv", ".csv"
        )
        window = spans.read_window(_source(folder, path, window_days=1, last_span="2024-03-01"))
        assert [file.removeprefix(f"{folder}/") for file in window.files[0]] == [
            "app1/x/2024-03-01.h01.csv",
            "app2/2024-03-01.h02.csv",
        ]


def test_days_are_numbered_from_1970():
    assert spans.number_of("1970-01-02") == 1
    assert spans.number_of("17") == 17
