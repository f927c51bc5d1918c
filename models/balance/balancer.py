"""Base class of balancers, all that the ranker knows of them.

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

# Gradient of one source; None where the target does not depend on it.
Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices | None


@dataclass(frozen=True)
class Step:
    """Inputs of a balancer's gradients in one training step.

    Attributes:
        tape: Tape of everything from the embeddings on; persistent where the balancer asks for it.
        losses: One float32 scalar a task, times its `loss_weight`; 0 where the batch has no row.
            Losses, penalty and objective are divided by the number of replicas, whose gradients
            are summed.
        penalty: Sum of the regularisers: float32 scalar.
        objective: `Balancer.objective` of the losses, plus the penalty.
        variables: All trained variables.
        shared: Dense weights that the tasks share: the trunk's without its routing weights.
        last_shared: Shared weights nearest to the tasks.
        below: Variables under the trunk: the embedding tables.
        embedded: Embedded features, (B, D).
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

    Its state is in weights, so that a checkpoint holds it. Its factors multiply `loss_weight`,
    which stays the user's own weight of a task.

    Args:
        config: Config that has passed its own checks.
        tasks: Tasks in the order of the losses.

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
        """Receives each task's loss at its base rate, before the first step."""

    def objective(self, losses: Sequence[tf.Tensor], known: tf.Tensor) -> tf.Tensor:
        """Loss that all weights descend: a float32 scalar, differentiable.

        Args:
            losses: One float32 scalar a task, times its `loss_weight`.
            known: 1 where the batch has a row of the task, else 0: float32 (T,).
        """
        del known
        return sum(losses, tf.zeros([]))

    def gradients(self, step: Step) -> list[Gradient]:
        """Gradients of `step.variables`; may update the balancer's own state."""
        gradients: list[Gradient] = step.tape.gradient(step.objective, step.variables)
        return gradients

    def end_epoch(self, losses: Mapping[str, float]) -> None:
        """Receives each task's mean training loss over the epoch."""

    def task_weights(self) -> tf.Tensor:
        """Current factors of the tasks' losses, beside `loss_weight`: float32 (T,)."""
        return tf.ones([len(self.tasks)])

    def curves(self) -> dict[str, float]:
        """Values to log after an epoch, by name."""
        if not self.weighs:
            return {}
        weights = self.task_weights().numpy().tolist()
        return {f"balance/{t.name}": w for t, w in zip(self.tasks, weights, strict=True)}


class Fixed(Balancer):
    """Sum of the losses: `sum_t loss_weight_t L_t`."""


class ConstantFactors(Balancer):
    """Multiplies the losses by factors that get no gradient: `sum_t w_t L_t`."""

    weighs = True
    factors: tf.Variable

    def objective(self, losses: Sequence[tf.Tensor], known: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.stack(losses) * tf.stop_gradient(self.factors))

    def task_weights(self) -> tf.Tensor:
        return tf.convert_to_tensor(self.factors)
