"""Base class of trunks, all that the ranker knows of them."""

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
    """Routing matrix: use of each lower part by each upper one, at inference.

    `values` is float32 `(len(upper), len(lower))` in [0, 1]; 0 is a closed route.
    """

    name: str
    upper: tuple[str, ...]
    lower: tuple[str, ...]
    values: tf.Tensor


class Trunk(keras.layers.Layer, abc.ABC):
    """Shares layers between tasks: call (B, D) -> {task: (B, U)}.

    Regularisers go through `add_loss`. `routing_variables` lists the weights that decide the
    routing, if any, so that they can have an optimizer of their own.

    Args:
        config: Config of the layers, which has passed its own checks.
        task_names: Keys of the result.
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
        """Routing matrices at inference, bottom up; the rows of the last are the tasks."""

    @abc.abstractmethod
    def macs(self) -> int:
        """Multiply-accumulates of a row at inference, closed routes included, once built."""

    def set_loss_scale(self, loss: float) -> None:
        """Sets the loss at the base rates, which scales the penalty of some trunks."""

    def parameters(self) -> int:
        """Number of trained scalars, once built."""
        return sum(weight.shape.num_elements() for weight in self.trainable_weights)

    def schedule(self) -> dict[str, tf.Tensor]:
        """Values that change by the step, for a log, by name: float32 scalars."""
        return {}

    def guarded_tasks(self) -> tuple[str, ...]:
        """Tasks with all routes closed, which keep the strongest one by a guard."""
        return ()

    @property
    def routing_variables(self) -> list[tf.Variable]:
        return []

    @property
    def shared_variables(self) -> list[tf.Variable]:
        """Trained weights that tasks share: all but the routing variables."""
        routing = {variable.ref() for variable in self.routing_variables}
        return [weight for weight in self.trainable_weights if weight.ref() not in routing]

    @property
    def last_shared_variables(self) -> list[tf.Variable]:
        """Shared variables nearest to the tasks, or all where a trunk has no order."""
        return self.shared_variables

    def _experts(self, num_experts: int, units: Sequence[int], **kwargs: Any) -> Experts:
        """Makes experts with the trunk's activation and dropout."""
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
        """Makes rows of dense layers side by side, `(count, units)` each, bottom up.

        The first row reads the trunk's input; above it each layer has an input of its own.
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
        """Makes the routing matrices of layers, each read by the next one, the last by the tasks.

        Args:
            parts: Names of each layer's parts, bottom up.
            values: Matrix (upper, lower) of each layer.
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
    """Names of the readers of each layer: `layer_2`, `layer_3`, ..., `tasks`."""
    return [*(f"{layer}_{index}" for index in range(2, num_layers + 1)), "tasks"]
