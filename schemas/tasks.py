"""Config of a task: one label that the model predicts."""

import functools
import operator
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field, PositiveFloat, model_validator

from taskroute.schemas.base import Column, Config, Name

# Float32, which labels are read as, holds every whole number up to this one.
_LARGEST_WHOLE = 2**24


class Label(Config):
    """Source of a task's label. A missing label leaves the row out of the task.

    A binary task has at most one rule of `at_least`, `at_most`, `between`, `equals` and `in`;
    without one the column must hold 0 and 1. Text in `equals` and `in` reads the column as text.
    """

    # `in` is a keyword of Python: the field has another name there, and this one in files.
    model_config = ConfigDict(
        validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    column: Column = Field(description="Column of the log; no feature may read it.")
    at_least: float | None = Field(
        None,
        description="Binary tasks: least value of a 1; without a rule the column holds 0 and 1.",
    )
    at_most: float | None = Field(None, description="Binary tasks: largest value of a 1.")
    between: tuple[float, float] | None = Field(
        None, description="Binary tasks: least and largest value of a 1."
    )
    equals: float | str | None = Field(
        None, description="Binary tasks: the value of a 1, a number or a text such as `purchase`."
    )
    one_of: tuple[float | str, ...] | None = Field(
        None, alias="in", min_length=1, description="Binary tasks: the values of a 1."
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

    @property
    def rules(self) -> dict[str, Any]:
        """Rules that are given, by their names in a file."""
        rules = {
            "at_least": self.at_least,
            "at_most": self.at_most,
            "between": self.between,
            "equals": self.equals,
            "in": self.one_of,
        }
        return {name: rule for name, rule in rules.items() if rule is not None}

    @property
    def accepted(self) -> tuple[float | str, ...]:
        """Values of `equals` or `in`."""
        return (self.equals,) if self.equals is not None else self.one_of or ()

    @property
    def texts(self) -> tuple[str, ...]:
        """Texts that are a 1; empty where the column holds numbers."""
        return tuple(value for value in self.accepted if isinstance(value, str))

    def is_positive(self, values: Any) -> Any:
        """Mask of the numbers that are a 1 of a binary task: an array, or a tensor, of bools."""
        if self.at_most is not None:
            return values <= self.at_most
        if self.between is not None:
            return (values >= self.between[0]) & (values <= self.between[1])
        if self.accepted:
            masks = [(values >= value) & (values <= value) for value in self.accepted]
            return functools.reduce(operator.or_, masks)
        return values >= (1.0 if self.at_least is None else self.at_least)

    @model_validator(mode="after")
    def _rule_is_one_and_clear(self) -> "Label":
        if len(self.rules) > 1:
            raise ValueError(f"`label` must have one rule, not {' and '.join(self.rules)}")
        if self.between is not None and self.between[0] > self.between[1]:
            raise ValueError("`label.between` must hold the smaller number first")
        if self.texts and len(self.texts) < len(self.accepted):
            raise ValueError("`label.in` must hold numbers, or texts, not both")
        if self.texts and self.minimum is not None:
            raise ValueError("`label.minimum` is for numbers, and the rule holds texts")
        for value in self.accepted:
            if not isinstance(value, str) and abs(value) > _LARGEST_WHOLE:
                raise ValueError(
                    f"`label`: {value:.17g} is too large to be told from its neighbours; write it "
                    "in quotes, as a text"
                )
        return self

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
        elif self.label.rules:
            raise ValueError(f"`label.{next(iter(self.label.rules))}` is for binary tasks")
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


def with_conditions(task: Task, tasks: Sequence[Task]) -> tuple[Task, ...]:
    """The task, and those whose labels decide which rows count for it."""
    by_name = {each.name: each for each in tasks}
    found = {task.name: task}
    waiting = [task]
    while waiting:
        each = waiting.pop()
        for name in (each.trained_where, each.funnel):
            if name is not None and name not in found:
                found[name] = by_name[name]
                waiting.append(by_name[name])
    return tuple(found.values())


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
