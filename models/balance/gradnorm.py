"""Weights that equalise the norms of the tasks' gradients."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from taskroute.models.balance.balancer import ConstantFactors, Gradient, Step
from taskroute.models.balance.surgery import gram_matrix, sum_over_replicas
from taskroute.schemas.balance import GradNormBalance


class GradNorm(ConstantFactors):
    """GradNorm: keeps `w_t |dL_t/dW|` at `mean_i(w_i |dL_i/dW|) r_t^alpha`.

    W are the last shared weights. r_t is the task's loss as a share of its first loss, over the
    mean of these shares: a task that learns slowly gets more. After each step the weights descend
    the L1 distance from that goal, held constant, and are scaled to the sum T.

    Reference: Chen, Badrinarayanan, Lee, Rabinovich, "GradNorm: Gradient Normalization for Adaptive
    Loss Balancing in Deep Multitask Networks", ICML 2018, Eqs. 1 and 2 and Algorithm 1. Ours: the
    first loss is at the base rates, not the noisy one of the first batch;
    the descent is in the weights' logarithms and divided by the mean norm, so that weights stay
    positive and a step is a few per cent, however far apart the scales of the losses; a task
    without a row in the batch keeps its share; `loss_weight` multiplies what comes out and is not
    balanced away.

    Args:
        config: Config with `alpha` and the learning rate of the weights.
        tasks: Tasks in the order of the losses.
    """

    takes_many_gradients = True
    config: GradNormBalance

    def build(self, input_shape: Any) -> None:
        state: dict[str, Any] = {
            "shape": (len(self.tasks),),
            "initializer": "ones",
            "trainable": False,
            # Replicas that see different rows keep the same weights.
            "aggregation": tf.VariableAggregation.MEAN,
        }
        self.factors = self.add_weight(name="task_weights", **state)
        self.first_losses = self.add_weight(name="first_losses", **state)
        super().build(input_shape)

    def start(self, losses: Mapping[str, float]) -> None:
        self.first_losses.assign([max(losses[task.name], 1e-6) for task in self.tasks])

    def gradients(self, step: Step) -> list[Gradient]:
        gradients = super().gradients(step)
        by_task = [step.tape.gradient(loss, step.last_shared) for loss in step.losses]
        losses = sum_over_replicas([tf.stack(step.losses)])[0]
        norms = tf.sqrt(tf.linalg.diag_part(gram_matrix(by_task, step.last_shared)))
        self._update(losses / self.loss_weights, norms / self.loss_weights)
        return gradients

    def _update(self, losses: tf.Tensor, norms: tf.Tensor) -> None:
        """Updates the weights from each task's loss and gradient norm, both unweighted."""
        factors = tf.convert_to_tensor(self.factors)
        weighted = factors * norms
        # Without a row in the batch, or where nothing is shared, a task has no say.
        known = tf.cast((norms > 0) & tf.math.is_finite(norms), tf.float32)
        count = tf.reduce_sum(known)
        weighted = tf.where(known > 0, weighted, 0.0)
        left = known * losses / tf.convert_to_tensor(self.first_losses)
        mean_norm = tf.math.divide_no_nan(tf.reduce_sum(weighted), count)
        mean_left = tf.math.divide_no_nan(tf.reduce_sum(left), count)
        rate = tf.math.divide_no_nan(left, mean_left)
        goal = mean_norm * tf.pow(rate, self.config.alpha)
        descent = tf.math.divide_no_nan(tf.sign(weighted - goal) * weighted, mean_norm)
        moved = factors * tf.exp(-self.config.learning_rate * known * descent)
        moved *= len(self.tasks) / tf.reduce_sum(moved)
        self.factors.assign(tf.where(tf.math.is_finite(moved), moved, factors))
