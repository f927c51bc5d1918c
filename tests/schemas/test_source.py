"""Where the log is: splits, spans, and how many bad rows may be."""

import pytest
import yaml
from pydantic import ValidationError

from taskroute.schemas.source import Source
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
