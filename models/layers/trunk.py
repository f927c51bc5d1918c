"""The contract that every trunk keeps, so that the ranker needs to know none of them."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras as keras


@dataclass(frozen=True)
class RoutingMatrix:
    """How much each upper part uses each lower one, at inference.

    `values` is float32 `(len(upper), len(lower))` in [0, 1]; 0 is a closed route.
    """

    name: str
    upper: tuple[str, ...]
    lower: tuple[str, ...]
    values: tf.Tensor


class Trunk(keras.layers.Layer, abc.ABC):
    """Shares layers between tasks: call (B, D) -> {task: (B, U)}.

    Regularisers go through `add_loss`. Weights that decide the routing, if any, are listed by
    `routing_variables`, so that they can have an optimizer of their own.

    Args:
        task_names: The keys of the result.
    """

    def __init__(self, task_names: Sequence[str], **kwargs: Any):
        if not task_names:
            raise ValueError(f"`task_names` must not be empty. Received: task_names={task_names}")
        super().__init__(**kwargs)
        self.task_names = tuple(task_names)

    @abc.abstractmethod
    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Maps (B, D) to one (B, U) tensor a task."""

    @abc.abstractmethod
    def routing(self) -> tuple[RoutingMatrix, ...]:
        """The routes in use at inference, bottom up; the rows of the last are the tasks."""

    @abc.abstractmethod
    def macs(self) -> int:
        """Multiply-accumulates of a row at inference, closed routes included, once built."""

    def set_loss_scale(self, loss: float) -> None:
        """Tells the loss of a model that predicts base rates, to trunks that penalise beside it."""

    def parameters(self) -> int:
        """Number of trained scalars, once built."""
        return sum(weight.shape.num_elements() for weight in self.trainable_weights)

    def schedule(self) -> dict[str, tf.Tensor]:
        """What changes by the step and a log should show, by name: float32 scalars."""
        return {}

    def guarded_tasks(self) -> tuple[str, ...]:
        """Tasks that closed all their routes and keep the strongest only because a guard does."""
        return ()

    @property
    def routing_variables(self) -> list[tf.Variable]:
        return []

    @property
    def shared_variables(self) -> list[tf.Variable]:
        """The trained weights that tasks have in common: all but those that decide the routing."""
        routing = {variable.ref() for variable in self.routing_variables}
        return [weight for weight in self.trainable_weights if weight.ref() not in routing]

    @property
    def last_shared_variables(self) -> list[tf.Variable]:
        """Those of `shared_variables` that are nearest to the tasks; all, where a trunk knows no
        nearer ones.
        """
        return self.shared_variables

    def _by_task(self, outputs: tf.Tensor, axis: int) -> dict[str, tf.Tensor]:
        return dict(zip(self.task_names, tf.unstack(outputs, axis=axis), strict=True))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "task_names": self.task_names}


def part_names(layer: int, count: int) -> tuple[str, ...]:
    """Names of the parallel parts of one layer: `2.1`, `2.2`, ..."""
    return tuple(f"{layer}.{index}" for index in range(1, count + 1))
