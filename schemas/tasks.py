"""What a task is: one label that the model predicts."""

from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from taskroute.schemas.base import Column, Config, Name


class Label(Config):
    """Where a task's label comes from. A missing label leaves the row out of the task."""

    column: Column
    at_least: float | None = Field(
        None,
        description="Binary tasks: 1 where the column reaches this; else it must hold 0 and 1.",
    )
    transform: Literal["none", "log1p"] = Field(
        "none", description="Regression tasks: what the loss sees; predictions are turned back."
    )
    minimum: float | None = Field(
        None, description="A row whose label is smaller is bad. With log1p: 0 where none is given."
    )

    @property
    def least(self) -> float | None:
        """What a label may be at least; None where anything goes."""
        return 0.0 if self.minimum is None and self.transform == "log1p" else self.minimum


class Task(Config):
    """One label; its head, loss, metrics, gate, output and report row follow from it."""

    name: Name
    kind: Literal["binary", "regression"] = "binary"
    label: Label
    trained_where: Name | None = Field(
        None, description="A binary task: only rows where it is 1 count, in loss and metrics."
    )
    loss_weight: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _label_fits_kind(self) -> "Task":
        if self.kind == "binary" and self.label.transform != "none":
            raise ValueError("`label.transform` is for regression tasks")
        if self.kind == "regression" and self.label.at_least is not None:
            raise ValueError("`label.at_least` is for binary tasks")
        return self

    @property
    def label_key(self) -> str:
        """Transformed feature that holds the label, float32."""
        return f"label/{self.name}"

    @property
    def weight_key(self) -> str:
        """Transformed feature with the row's weight in this task, float32; 0 leaves it out."""
        return f"weight/{self.name}"
