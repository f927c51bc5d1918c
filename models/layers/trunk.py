"""The contract that every trunk keeps, so that the ranker needs to know none of them."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.experts import Experts
from taskroute.schemas import trunks


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
        config: Decides the layers; its own checks have passed.
        task_names: The keys of the result.
    """

    config: trunks.Trunk

    def __init__(self, config: trunks.Trunk, task_names: Sequence[str], **kwargs: Any):
        if not task_names:
            raise ValueError(f"`task_names` must not be empty. Received: task_names={task_names}")
        super().__init__(**kwargs)
        self.config, self.task_names = config, tuple(task_names)

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
        """Values that change by the step and belong into a log, by name: float32 scalars."""
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
        """The part of `shared_variables` nearest to the tasks; all, where a trunk knows no nearer
        ones.
        """
        return self.shared_variables

    def _experts(self, num_experts: int, units: Sequence[int], **kwargs: Any) -> Experts:
        """Experts with the trunk's activation and dropout."""
        return Experts(
            num_experts,
            units,
            activation=self.config.activation,
            dropout=self.config.dropout,
            **kwargs,
        )

    def _dense_rows(
        self, sizes: Sequence[tuple[int, int]], name: str, *, experts_first: bool = True
    ) -> list[Experts]:
        """Rows of dense layers side by side, `(count, units)` each, bottom up.

        All of the first row read the trunk's input; above it each has an input of its own.
        """
        return [
            self._experts(
                count,
                (units,),
                num_inputs=1 if row == 1 else count,
                experts_first=experts_first,
                name=f"{name}_{row}",
            )
            for row, (count, units) in enumerate(sizes, start=1)
        ]

    def _by_task(self, outputs: tf.Tensor, axis: int) -> dict[str, tf.Tensor]:
        return dict(zip(self.task_names, tf.unstack(outputs, axis=axis), strict=True))

    def _tasks_where(self, chosen_T: tf.Tensor) -> tuple[str, ...]:
        return tuple(task for task, is_so in zip(self.task_names, chosen_T, strict=True) if is_so)

    def _matrices(
        self, parts: Sequence[tuple[str, ...]], values: Sequence[tf.Tensor], layer: str = "layer"
    ) -> tuple[RoutingMatrix, ...]:
        """Matrices of layers that are read by the next one, the last by the tasks.

        Args:
            parts: Names of each layer's parts, bottom up.
            values: (upper, lower), for each layer.
            layer: Word for a layer in a matrix's name.
        """
        rows = zip(
            reader_names(len(parts), layer),
            [*parts[1:], self.task_names],
            parts,
            values,
            strict=True,
        )
        return tuple(RoutingMatrix(*row) for row in rows)


def part_names(layer: int, count: int) -> tuple[str, ...]:
    """Names of the parallel parts of one layer: `2.1`, `2.2`, ..."""
    return tuple(f"{layer}.{index}" for index in range(1, count + 1))


def all_part_names(counts: Sequence[int]) -> list[tuple[str, ...]]:
    """Names of the parts of layers of these sizes, bottom up."""
    return [part_names(layer, count) for layer, count in enumerate(counts, start=1)]


def reader_names(num_layers: int, layer: str = "layer") -> list[str]:
    """Names for the readers of each of the layers: `layer_2`, `layer_3`, ..., `tasks`."""
    return [*(f"{layer}_{index}" for index in range(2, num_layers + 1)), "tasks"]
