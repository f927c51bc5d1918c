"""Where the log is and how its rows are split into train, validation and test."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from taskroute.schemas.base import Column, Config

SPLITS = ("train", "validation", "test")

_Fraction = Annotated[float, Field(ge=0, lt=1)]


class Split(Config):
    """`time`: the newest rows are test, those before them validation. `hash`: by a key column."""

    by: Literal["time", "hash"]
    key: Column | None = Field(
        None, description="For hash: rows with the same value stay together, in every run."
    )
    validation: _Fraction = 0.1
    test: _Fraction = 0.1

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


class Source(Config):
    """The files of the log. A relative path starts at the data folder of the command."""

    path: str = Field(description="A file or a pattern, e.g. logs/*.parquet")
    format: Literal["csv", "jsonl", "parquet"]
    test_path: str | None = Field(
        None, description="Files that are the test split, where the data set brings its own."
    )
    timestamp: Column | None = None
    split: Split

    @model_validator(mode="after")
    def _test_rows_have_one_origin(self) -> "Source":
        if self.test_path is None and self.split.test == 0:
            raise ValueError("`split.test` must be above 0, or `test_path` must be given")
        if self.test_path is not None and self.split.test > 0:
            raise ValueError("`split.test` must be 0 where `test_path` is given")
        if self.split.by == "time" and self.timestamp is None:
            raise ValueError("`timestamp` must name a column where `split.by` is time")
        return self
