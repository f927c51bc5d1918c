"""The contract that every balancer keeps, so that the ranker needs to know none of them.

Shape letters: T tasks.
"""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import tensorflow as tf
import tf_keras as keras

from taskroute.schemas.balance import Balance
from taskroute.schemas.tasks import Task

# What a tape gives for one source: None where the target does not depend on it.
Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices | None


@dataclass(frozen=True)
class Step:
    """One training step, as far as it is when gradients are wanted.

    Attributes:
        tape: Has seen everything from the embeddings on; persistent where the balancer asks for it.
        losses: One float32 scalar a task, times its `loss_weight`; 0 where the batch has no row.
            As the next two divided by the number of replicas, whose gradients are summed.
        penalty: Of regularisers: float32 scalar.
        objective: What `Balancer.objective` made of the losses, plus the penalty.
        variables: Everything that is trained.
        shared: Dense weights that the tasks have in common: those of the trunk without its routing.
        last_shared: Those of them that are nearest to the tasks.
        below: Variables under the trunk: the embedding tables.
        embedded: What the trunk reads, (B, D).
    """

    tape: tf.GradientTape
    losses: tuple[tf.Tensor, ...]
    penalty: tf.Tensor
    objective: tf.Tensor
    variables: Sequence[tf.Variable]
    shared: Sequence[tf.Variable]
    last_shared: Sequence[tf.Variable]
    below: Sequence[tf.Variable]
    embedded: tf.Tensor


class Balancer(keras.layers.Layer, abc.ABC):
    """Decides how far each task's loss moves the weights that the tasks share.

    What it learns and remembers is in its weights, so that a checkpoint holds it. Whatever it does
    multiplies `loss_weight`, which stays the user's word on what a task is worth.

    Args:
        config: Its own checks have passed.
        tasks: In the order of the losses.

    Attributes:
        takes_many_gradients: Whether the tape must be persistent.
        weighs: Whether `task_weights` differ from 1.
    """

    takes_many_gradients = False
    weighs = False
    config: Balance

    def __init__(self, config: Balance, tasks: Sequence[Task]):
        # Weights of losses are too fine for a half-precision policy.
        super().__init__(name="balancer", dtype="float32")
        self.config, self.tasks = config, tuple(tasks)
        self.loss_weights = np.array([task.loss_weight for task in tasks], np.float32)
        self.build(())

    def start(self, losses: Mapping[str, float]) -> None:
        """Is told, before the first step, each task's loss at its base rate."""

    def objective(self, losses: Sequence[tf.Tensor], known: tf.Tensor) -> tf.Tensor:
        """What every weight descends: a float32 scalar, differentiable.

        Args:
            losses: One float32 scalar a task, times its `loss_weight`.
            known: float32 (T,): 1 where the batch has a row of the task, else 0.
        """
        del known
        return sum(losses, tf.zeros([]))

    def gradients(self, step: Step) -> list[Gradient]:
        """The gradient of each of `step.variables`; may update the balancer's own state."""
        gradients: list[Gradient] = step.tape.gradient(step.objective, step.variables)
        return gradients

    def end_epoch(self, losses: Mapping[str, float]) -> None:
        """Is told each task's mean training loss over the epoch."""

    def task_weights(self) -> tf.Tensor:
        """What the tasks' losses are multiplied by now, beside `loss_weight`: float32 (T,)."""
        return tf.ones([len(self.tasks)])

    def curves(self) -> dict[str, float]:
        """What a log should show after an epoch, by name."""
        if not self.weighs:
            return {}
        weights = self.task_weights().numpy().tolist()
        return {f"balance/{t.name}": w for t, w in zip(self.tasks, weights, strict=True)}


class Fixed(Balancer):
    """The sum of the losses: `sum_t loss_weight_t L_t`."""


class ConstantFactors(Balancer):
    """Multiplies the losses by factors that no gradient moves: `sum_t w_t L_t`."""

    weighs = True
    factors: tf.Variable

    def objective(self, losses: Sequence[tf.Tensor], known: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.stack(losses) * tf.stop_gradient(self.factors))

    def task_weights(self) -> tf.Tensor:
        return tf.convert_to_tensor(self.factors)
