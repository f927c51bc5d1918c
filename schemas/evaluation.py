"""Metrics of a candidate, and the bounds that it must meet to be blessed."""

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from taskroute.schemas.base import Column, Config, Name

# Values of a slice's column: more than a person reads, and each costs memory and time.
MAX_SLICES = 1000

Metric = Literal[
    "auc",
    "pr_auc",
    "gauc",
    "log_loss",
    "normalized_entropy",
    "calibration",
    "ece",
    "predicted_rate",
    "actual_rate",
    "mae",
    "rmse",
    "xauc",
    "mean_prediction",
    "mean_label",
]

METRICS: dict[str, tuple[Metric, ...]] = {
    "binary": (
        "auc",
        "pr_auc",
        "gauc",
        "log_loss",
        "normalized_entropy",
        "calibration",
        "ece",
        "predicted_rate",
        "actual_rate",
    ),
    "regression": ("mae", "rmse", "xauc", "mean_prediction", "mean_label"),
}

# Name and values of a column's slices by whether the candidate's vocabulary holds the term.
TERMS_OF = "terms_of_"
NEW, KNOWN = "new", "known"


def terms_slice(column: str) -> str:
    """Name under which a column's slices of new and of known terms stand."""
    return f"{TERMS_OF}{column}"


# 1 where more is better, -1 where less is; the others have a best value in between.
BETTER: dict[str, int] = {
    "auc": 1,
    "pr_auc": 1,
    "gauc": 1,
    "xauc": 1,
    "log_loss": -1,
    "normalized_entropy": -1,
    "ece": -1,
    "mae": -1,
    "rmse": -1,
}


class Bound(Config):
    """Bounds on one metric of one task."""

    task: Name = Field(description="Task of the metric.")
    metric: Metric = Field(
        "auc", description="Metric that the task's kind has; docs/evaluation.md lists them."
    )
    at_least: float | None = Field(None, description="Lower bound.")
    at_most: float | None = Field(None, description="Upper bound.")
    may_lose: NonNegativeFloat | None = Field(
        None, description="Largest loss against the baseline, in the metric's own unit."
    )

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        if self.at_least is None and self.at_most is None and self.may_lose is None:
            raise ValueError("give `at_least`, `at_most` or `may_lose`")
        bounded = self.at_least is not None and self.at_most is not None
        if bounded and self.at_least >= self.at_most:  # type: ignore[operator]
            raise ValueError("`at_most` must be above `at_least`")
        if self.may_lose is not None and self.metric not in BETTER:
            raise ValueError(
                f"`may_lose`: neither more nor less of {self.metric} is better; give `at_least` "
                "and `at_most`"
            )
        return self


class Gate(Bound):
    """Bounds on the test split; a candidate that breaks one is refused.

    The whole interval of the candidate's value must keep `at_least` and `at_most`; how intervals
    decide stands in `taskroute.components.task_evaluator.gate`.
    """

    slice: str | None = Field(
        None,
        min_length=1,
        description="Slice: `device` for each value of that column, `device=ios` for one; all rows "
        "by default.",
    )
    min_examples: PositiveInt = Field(
        100, description="Least number of labelled rows; with fewer nothing passes."
    )

    @property
    def slice_column(self) -> str | None:
        return None if self.slice is None else self.slice.partition("=")[0]

    @property
    def slice_value(self) -> str | None:
        """The one value of the slice's column; None for each value."""
        _, equals, value = (self.slice or "").partition("=")
        return value if equals else None


class Evaluation(Config):
    """Evaluation of the candidate on the test split, which it has not seen."""

    gates: tuple[Gate, ...] = ()
    slices: tuple[Column, ...] = Field(
        (), description="Columns; every metric is also given for each of their values."
    )
    group_key: Column | None = Field(
        None,
        description="Column of the user or request: GAUC is taken within it, and intervals allow "
        "for rows of one value that are not independent; a row without a value is no part of GAUC.",
    )
    confidence: float = Field(
        0.95, ge=0.5, lt=1, description="Confidence level of intervals and verdicts."
    )
