"""Source of a config: the files of the log, and its split into train, validation and test."""

import codecs
import warnings
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from taskroute.schemas.base import Column, Config

SPLITS = ("train", "validation", "test")
DAY_FIELDS = ("{YYYY}", "{MM}", "{DD}")
SPAN_FIELD = "{SPAN}"

EPOCH_FORMATS = ("epoch_s", "epoch_ms", "epoch_us", "epoch_ns")

_SOME_TIME = datetime(2024, 3, 21, 13, 14, 15, tzinfo=UTC)
_Fraction = Annotated[float, Field(ge=0, lt=1)]


class Split(Config):
    """`time`: the newest rows are test, those before them validation. `hash`: by a key column."""

    by: Literal["time", "hash"] = Field(description="Rule that assigns rows to splits, as above.")
    key: Column | None = Field(
        None, description="Column for `hash`: rows with one value stay in one split, in every run."
    )
    validation: _Fraction = Field(
        0.1, description="Share of the rows that early stopping and calibration read."
    )
    test: _Fraction = Field(
        0.1, description="Share of the rows that metrics and gates read; 0 with `test_path`."
    )

    @model_validator(mode="after")
    def _fractions_leave_a_train_split(self) -> "Split":
        if self.validation == 0:
            raise ValueError("`validation` must be above 0: early stopping needs it")
        if self.validation + self.test >= 1:
            raise ValueError("`validation` and `test` must leave rows to train on")
        if self.by == "hash" and self.key is None:
            raise ValueError("`key` must name a column where `by` is hash")
        if self.by == "time" and self.key is not None:
            raise ValueError("`key` is for `by: hash`")
        return self


class Csv(Config):
    r"""Form of CSV files; `taskroute init` guesses it.

    A quote inside a quoted value is doubled, or stands behind `escape`.
    """

    delimiter: str = Field(
        ",",
        min_length=1,
        max_length=8,
        description=r"Text between two columns, e.g. ;, \t for a tab, or ::.",
    )
    encoding: str = Field("utf-8", description="Encoding of the text, by Python's name for it.")
    decimal: Literal[".", ","] = Field(
        ".",
        description="Mark before the decimals of a number; with a comma, points and spaces between "
        "groups of three digits are thousands separators.",
    )
    quote: str | None = Field(
        '"',
        max_length=1,
        description="Character around values with delimiters or line ends; null for files "
        "without quotes.",
    )
    escape: str | None = Field(
        None,
        max_length=1,
        description=r"Character that makes a quote, delimiter or line end behind it plain, e.g. \ "
        'as Spark writes; "" for none. Without it, a file that seems to have one is refused.',
    )
    header: bool | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        True,
        description="Whether the first row has the names of the columns; false names them "
        "column_1, column_2, ...; a list names them itself.",
    )

    @field_validator("delimiter")
    @classmethod
    def _tab_may_be_escaped(cls, delimiter: str) -> str:
        return delimiter.replace("\\t", "\t")

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str) -> str:
        try:
            codecs.getincrementaldecoder(encoding)
            b"abcd".decode(encoding)
        except UnicodeDecodeError:
            pass  # a text encoding in which these bytes mean nothing
        except (LookupError, ValueError):
            raise ValueError(
                f"`encoding` must be a text encoding that Python knows, e.g. utf-8, utf-16, "
                f"cp1252 or shift_jis, not '{encoding}'"
            ) from None
        return encoding

    @field_validator("quote", mode="before")
    @classmethod
    def _quote_may_be_off(cls, quote: object) -> object:
        """YAML reads `off` as false."""
        return None if quote is False or quote == "" else quote

    @field_validator("escape", mode="before")
    @classmethod
    def _escape_may_be_off(cls, escape: object) -> object:
        return "" if escape is False else escape

    @model_validator(mode="after")
    def _marks_differ(self) -> "Csv":
        marks = [mark for mark in (self.quote, self.escape) if mark]
        if any(not mark.isascii() or mark.isalnum() or mark in " \r\n\0" for mark in marks):
            raise ValueError('`quote` and `escape` must be ASCII signs such as " and \\')
        if any(mark in self.delimiter for mark in (*marks, "\r", "\n", "\0")):
            raise ValueError("`delimiter` must not hold the quote, the escape or a line end")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> "Csv":
        names = () if isinstance(self.header, bool) else self.header
        if len(set(names)) < len(names):
            raise ValueError("`header` must name each column once")
        return self

    @property
    def escape_character(self) -> str | None:
        """Escape other than a doubled quote, None if there is none."""
        return self.escape if self.escape and self.escape != self.quote else None


STANDARD_CSV = Csv()


class Source(Config):
    """The files of the log. A relative path starts at the data folder of the command.

    A log that comes in spans, by day or by number, has `{YYYY}`, `{MM}` and `{DD}`, or `{SPAN}`, in
    its path. A run then reads a window: the newest complete span and those right before it.
    """

    path: str = Field(
        description="File or pattern, e.g. logs/*.parquet or logs/{YYYY}-{MM}-{DD}/*.csv"
    )
    format: Literal["csv", "jsonl", "parquet"] = Field(
        description="Format of the files; csv and jsonl may be gzipped (.gz)."
    )
    csv: Csv = Field(
        STANDARD_CSV,
        description="Form of CSV files: delimiter, encoding, decimal mark, quotes, header.",
    )
    test_path: str | None = Field(
        None, description="Files of the test split, where the data set brings its own."
    )
    timestamp: Column | None = Field(
        None, description="Column with the time of the impression; needed by `split.by: time`."
    )
    timestamp_format: str | None = Field(
        None,
        description="Format of the timestamps, as for strptime, e.g. `%d/%m/%Y %H:%M:%S` or "
        "`%Y%m%d`, or `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns`; by default ISO 8601, epochs, "
        "and dates whose order is clear are told apart.",
    )
    split: Split
    max_bad_fraction: _Fraction = Field(
        0.0,
        description="Largest share of bad rows: left out and counted; above it a run stops.",
    )
    window_days: PositiveInt | None = Field(
        None, description="Number of days, or numbered spans, in the window, for a path with spans."
    )
    max_missing_days: NonNegativeInt = Field(
        0, description="Days, or numbered spans, of the window that may have no rows."
    )
    done_file: str | None = Field(
        None, description="File that marks a span as complete, beside its files, e.g. _SUCCESS."
    )
    last_span: str | None = Field(
        None,
        description="Last day of the window, e.g. 2026-01-31, or number; by default the newest "
        "complete one: the newest with `done_file`, without it the newest day that is over in UTC.",
    )

    @field_validator("last_span", mode="before")
    @classmethod
    def _is_text(cls, span: object) -> object:
        """YAML reads 2026-01-31 as a date, and 17 as a number."""
        return str(span) if isinstance(span, date | int) else span

    @property
    def has_spans(self) -> bool:
        return SPAN_FIELD in self.path or DAY_FIELDS[0] in self.path

    @model_validator(mode="after")
    def _csv_is_for_csv_files(self) -> "Source":
        if self.format != "csv" and self.csv != STANDARD_CSV:
            raise ValueError("`csv` is for `format: csv`; leave it out")
        return self

    @model_validator(mode="after")
    def _test_rows_have_one_origin(self) -> "Source":
        if self.test_path is None and self.split.test == 0:
            raise ValueError("`split.test` must be above 0, or `test_path` must be given")
        if self.test_path is not None and self.split.test > 0:
            raise ValueError("`split.test` must be 0 where `test_path` is given")
        if self.split.by == "time" and self.timestamp is None:
            raise ValueError("`timestamp` must name a column where `split.by` is time")
        return self

    @model_validator(mode="after")
    def _timestamp_format_is_one(self) -> "Source":
        form = self.timestamp_format
        if form is None or form in EPOCH_FORMATS:
            return self
        if self.timestamp is None:
            raise ValueError("`timestamp_format` is for a `timestamp`, which is not given")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a format without a year
                parsed = datetime.strptime(_SOME_TIME.strftime(form), form)
            is_format = parsed.date() == _SOME_TIME.date()
        except ValueError:
            is_format = False
        if not is_format:
            raise ValueError(
                f"`timestamp_format` must be {', '.join(EPOCH_FORMATS)}, or hold year, month and "
                f"day as strptime does, such as %d.%m.%Y %H:%M:%S, not '{form}'"
            )
        return self

    @model_validator(mode="after")
    def _window_fits_path(self) -> "Source":
        days = [field for field in DAY_FIELDS if field in self.path]
        if days and len(days) < len(DAY_FIELDS):
            raise ValueError("`path` must hold all of {YYYY}, {MM} and {DD}, or none")
        if days and SPAN_FIELD in self.path:
            raise ValueError("`path` must hold days or {SPAN}, not both")
        if self.test_path is not None and "{" in self.test_path:
            raise ValueError("`test_path` must be without spans; only `path` may have them")
        if self.has_spans and self.window_days is None:
            raise ValueError("`window_days` must say how many spans of `path` are read")
        if not self.has_spans and (self.window_days or self.done_file or self.last_span):
            raise ValueError(
                "`path` must hold {YYYY}, {MM} and {DD}, or {SPAN}, where `window_days`, "
                "`done_file` or `last_span` is given"
            )
        if self.last_span is not None:
            _check_span(self.last_span, is_day=bool(days))
        return self


def _check_span(span: str, *, is_day: bool) -> None:
    if not is_day and not span.isdecimal():
        raise ValueError(f"`last_span` must be a number such as 17, not '{span}'")
    if is_day:
        try:
            is_iso = date.fromisoformat(span).isoformat() == span
        except ValueError:
            is_iso = False
        if not is_iso:
            raise ValueError(f"`last_span` must be a day such as 2026-01-31, not '{span}'")
