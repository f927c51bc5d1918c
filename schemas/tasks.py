"""Config of a task: one label that the model predicts."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, PositiveFloat, model_validator

from taskroute.schemas.base import Column, Config, Name


class Label(Config):
    """Source of a task's label. A missing label leaves the row out of the task."""

    column: Column = Field(description="Column of the log; no feature may read it.")
    at_least: float | None = Field(
        None,
        description="Binary tasks: least value of a 1; without it the column must hold 0 and 1.",
    )
    transform: Literal["none", "log1p"] = Field(
        "none",
        description="Regression tasks: transform before the loss; predictions are turned back.",
    )
    minimum: float | None = Field(
        None, description="Least label of a good row; with log1p it is 0 by default."
    )
    maximum: float | None = Field(
        None, description="Regression tasks: cap of the label, in loss and metrics."
    )

    @property
    def least(self) -> float | None:
        """Smallest label of a good row; None where any label is good."""
        return 0.0 if self.minimum is None and self.transform == "log1p" else self.minimum

    def is_positive(self, values: Any) -> Any:
        """Mask of the values that are a 1 of a binary task: an array, or a tensor, of bools."""
        return values >= (1.0 if self.at_least is None else self.at_least)

    def for_loss(self, values: Any, math: Any) -> Any:
        """Caps and transforms values of the column for the loss of a regression task.

        Args:
            values: Array or tensor.
            math: Library for that type: numpy, or tf.math.
        """
        if self.maximum is not None:
            values = math.minimum(values, self.maximum)
        return math.log1p(math.maximum(values, 0.0)) if self.transform == "log1p" else values

    def in_own_unit(self, values: Any, math: Any) -> Any:
        """Inverts the transform of `for_loss`, for labels and predictions."""
        return math.expm1(values) if self.transform == "log1p" else values


class Task(Config):
    """One label; its head, loss, metrics, gate, output and report row follow from it."""

    name: Name = Field(description="Name of the served output, in metrics and in gates.")
    kind: Literal["binary", "regression"] = Field(
        "binary",
        description="Kind of the prediction: a probability, or a value in the label's own unit.",
    )
    label: Label
    trained_where: Name | None = Field(
        None, description="Binary task that must be 1 for a row to count, in loss and metrics."
    )
    funnel: Name | None = Field(
        None,
        description="Binary tasks: the binary task that must happen before this one. The model "
        "learns and serves the product of that task's probability and this one's after it, over "
        "all rows (ESMM).",
    )
    weight: Column | None = Field(
        None,
        description="Column of row weights >= 0, in loss and metrics; a missing weight leaves the "
        "row out of the task.",
    )
    loss: Literal["mse", "huber", "weighted_logistic", "buckets"] = Field(
        "mse",
        description="Loss of regression tasks. The last two are for labels >= 0, such as seconds, "
        "and predict their mean.",
    )
    huber_delta: PositiveFloat = Field(
        1.0, description="Error above which `huber` is linear, in the unit of the loss."
    )
    num_buckets: int = Field(
        64, ge=2, le=1024, description="Number of `buckets`, chosen on the train split."
    )
    smearing: bool = Field(
        False,
        description="Labels of log1p: whether to predict the mean, by one factor fitted after "
        "training; else the prediction is about the median.",
    )
    loss_weight: PositiveFloat = Field(1.0, description="Weight of the task in the sum of losses.")

    @model_validator(mode="after")
    def _label_fits_kind(self) -> "Task":
        if self.kind == "binary":
            if self.label.transform != "none":
                raise ValueError("`label.transform` is for regression tasks")
            if self.label.maximum is not None:
                raise ValueError("`label.maximum` is for regression tasks")
            if self.loss != "mse":
                raise ValueError("`loss` is for regression tasks; a binary task has cross entropy")
        elif self.label.at_least is not None:
            raise ValueError("`label.at_least` is for binary tasks")
        elif self.funnel is not None:
            raise ValueError("`funnel` is for binary tasks")
        if self.smearing and (self.label.transform != "log1p" or not self.is_squared):
            raise ValueError("`smearing` is for `label.transform: log1p` with mse or huber")
        return self

    @model_validator(mode="after")
    def _label_fits_loss(self) -> "Task":
        if self.loss in ("weighted_logistic", "buckets"):
            if self.label.transform != "none":
                raise ValueError(
                    f"`loss: {self.loss}` takes the label as it is; leave out `label.transform`"
                )
            if self.label.minimum is None or self.label.minimum < 0:
                raise ValueError(
                    f"`loss: {self.loss}` is for labels >= 0; give `label.minimum: 0`, so that a "
                    "row with a smaller one is refused"
                )
        return self

    @property
    def is_squared(self) -> bool:
        """Whether the loss is a squared error, or Huber's."""
        return self.kind == "regression" and self.loss in ("mse", "huber")

    @property
    def label_key(self) -> str:
        """Transformed feature that holds the label, float32."""
        return f"label/{self.name}"

    @property
    def weight_key(self) -> str:
        """Transformed feature that holds the row's weight, float32; 0 leaves the row out."""
        return f"weight/{self.name}"

    @property
    def after_funnel(self) -> str | None:
        """Name of the output for the probability given the `funnel` task; None without a funnel."""
        return None if self.funnel is None else f"{self.name}_after_{self.funnel}"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the task's served outputs, its own first."""
        return (self.name,) if self.after_funnel is None else (self.name, self.after_funnel)


def check_conditions(tasks: Sequence[Task]) -> None:
    """Refuses `trained_where` and `funnel` that name no suitable task.

    Raises:
        ValueError: If `trained_where` or `funnel` is not another binary task, a task comes before
            itself, or an output of a funnel has the name of a task.
    """
    by_name = {task.name: task for task in tasks}
    for index, task in enumerate(tasks):
        for field, name in (("trained_where", task.trained_where), ("funnel", task.funnel)):
            if name is None:
                continue
            condition = by_name.get(name)
            if condition is None or condition.kind != "binary" or condition is task:
                raise ValueError(
                    f"tasks[{index}].{field}: '{name}' is not another binary task of this config"
                )
        if task.funnel is not None and task.trained_where == task.funnel:
            raise ValueError(
                f"tasks[{index}]: with `funnel: {task.funnel}` it learns from all rows; leave out "
                "`trained_where`"
            )
        if task.after_funnel in by_name:
            raise ValueError(
                f"tasks[{index}].funnel: the output '{task.after_funnel}' is a task's already; "
                "give that task another name"
            )
    in_funnel_order(tasks)


def in_funnel_order(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Orders tasks so that each follows the one that its `funnel` names.

    Raises:
        ValueError: If a task comes before itself.
    """
    ordered: dict[str, Task] = {}
    waiting = list(tasks)
    while waiting:
        ready = [task for task in waiting if task.funnel is None or task.funnel in ordered]
        if not ready:
            index = tasks.index(waiting[0])
            raise ValueError(f"tasks[{index}].funnel: '{waiting[0].name}' comes before itself")
        ordered |= {task.name: task for task in ready}
        waiting = [task for task in waiting if task.name not in ordered]
    return tuple(ordered.values())
