"""Where the log is: splits, spans, and how many bad rows may be."""

import re

import pytest
import yaml
from pydantic import ValidationError

from taskroute.schemas.source import Csv, Source
from taskroute.schemas.tasks import Label

SOURCE = {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}}
BY_DAY = {**SOURCE, "path": "{YYYY}-{MM}-{DD}/*.csv", "window_days": 7}
BY_NUMBER = {**SOURCE, "path": "span-{SPAN}/*.csv", "window_days": 7}


@pytest.mark.parametrize("fields", [SOURCE, BY_DAY, BY_NUMBER])
def test_a_source_survives_json(fields):
    source = Source.model_validate(fields)
    assert Source.model_validate_json(source.model_dump_json()) == source
    assert source.has_spans == ("window_days" in fields)


def test_no_row_may_be_bad_unless_it_is_said():
    assert Source.model_validate(SOURCE).max_bad_fraction == 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({**SOURCE, "max_bad_fraction": 1.0}, "max_bad_fraction"),
        ({**BY_DAY, "path": "{YYYY}-{MM}/*.csv"}, "all of {YYYY}, {MM} and {DD}"),
        ({**BY_DAY, "path": "{SPAN}/{YYYY}-{MM}-{DD}.csv"}, "not both"),
        ({**BY_DAY, "window_days": None}, "`window_days` must say"),
        ({**SOURCE, "window_days": 3}, "`path` must hold {YYYY}"),
        ({**SOURCE, "last_span": "2026-01-31"}, "`path` must hold {YYYY}"),
        ({**BY_DAY, "last_span": "2026-02-31"}, "a day such as 2026-01-31"),
        ({**BY_DAY, "last_span": "20260131"}, "a day such as 2026-01-31"),
        ({**SOURCE, "timestamp_format": "%Y-%m-%d"}, "is for a `timestamp`, which is not given"),
        ({**SOURCE, "timestamp": "t", "timestamp_format": "%d/%m"}, "hold year, month and day"),
        ({**SOURCE, "timestamp": "t", "timestamp_format": "dd.mm.yyyy"}, "not 'dd.mm.yyyy'"),
        ({**BY_NUMBER, "last_span": "2026-01-31"}, "a number such as 17"),
        (
            {
                **SOURCE,
                "split": {"by": "hash", "key": "user", "test": 0},
                "test_path": "{YYYY}.csv",
            },
            "must be without spans",
        ),
    ],
)
def test_what_does_not_fit_is_named(fields, words):
    with pytest.raises(ValidationError, match="validation error") as error:
        Source.model_validate(fields)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("fields", "text", "span"),
    [
        (BY_DAY, "2026-01-31", "2026-01-31"),
        (BY_NUMBER, "17", "17"),
        (BY_DAY, "'2026-01-31'", "2026-01-31"),
    ],
)
def test_a_span_needs_no_quotes_in_yaml(fields, text, span):
    said = yaml.safe_load(f"last_span: {text}")
    assert Source.model_validate({**fields, **said}).last_span == span


@pytest.mark.parametrize(
    ("label", "least"),
    [
        ({}, None),
        ({"minimum": -1.0}, -1.0),
        ({"transform": "log1p"}, 0.0),
        ({"transform": "log1p", "minimum": 5.0}, 5.0),
    ],
)
def test_a_label_under_log1p_is_at_least_0(label, least):
    assert Label(column="watch", **label).least == least


class TestCsv:
    def test_a_source_without_it_reads_as_before(self):
        form = Csv()
        assert (form.delimiter, form.encoding, form.decimal) == (",", "utf-8", ".")
        assert (form.quote, form.escape, form.header) == ('"', None, True)

    def test_a_tab_may_be_written_as_an_escape(self):
        assert Csv(delimiter="\\t").delimiter == "\t"

    @pytest.mark.parametrize("off", [None, False, ""])
    def test_quotes_may_be_off(self, off):
        assert Csv.model_validate({"quote": off}).quote is None

    def test_a_doubled_quote_is_no_escape(self):
        assert Csv(escape='"').escape_character is None
        assert Csv(escape="").escape_character is None
        assert Csv(escape="\\").escape_character == "\\"

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"encoding": "utf-9"}, "must be a text encoding that Python knows"),
            ({"encoding": "rot13"}, "must be a text encoding that Python knows"),
            ({"encoding": "hex"}, "must be a text encoding that Python knows"),
            ({"decimal": ";"}, "Input should be '.' or ','"),
            ({"delimiter": ""}, "at least 1 character"),
            ({"delimiter": "\n"}, "must not hold"),
            ({"delimiter": '"'}, "must not hold"),
            ({"delimiter": "\\", "escape": "\\"}, "must not hold"),
            ({"quote": "x"}, "must be ASCII signs"),
            ({"quote": "«"}, "must be ASCII signs"),
            ({"escape": "\n"}, "must be ASCII signs"),
            ({"header": ["a", "a"]}, "must name each column once"),
            ({"header": []}, "at least 1 item"),
        ],
    )
    def test_what_no_file_can_be_is_refused(self, fields, words):
        with pytest.raises(ValidationError, match=re.escape(words)):
            Csv.model_validate(fields)

    @pytest.mark.parametrize("name", ["utf-8-sig", "UTF-16", "latin-1", "shift_jis", "cp932"])
    def test_encodings_have_python_names(self, name):
        assert Csv(encoding=name).encoding == name

    def test_it_is_for_csv_only(self):
        fields = {"path": "log.jsonl", "format": "jsonl", "split": {"by": "hash", "key": "user"}}
        assert Source.model_validate({**fields, "csv": {}}).csv == Csv()
        with pytest.raises(ValidationError, match="is for `format: csv`"):
            Source.model_validate({**fields, "csv": {"delimiter": ";"}})
