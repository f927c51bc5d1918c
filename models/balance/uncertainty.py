"""Weights learned from the uncertainty of each task."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from taskroute.models.balance.balancer import Balancer

_LARGEST = 20.0


class Uncertainty(Balancer):
    """Homoscedastic uncertainty: `sum_t v_t (f_t exp(-s_t) L_t + s_t / 2)`.

    `s = log sigma^2` is learned with the model; f is 1/2 where the loss is half a square over a
    variance, and 1 where it is a cross entropy; v is the task's `loss_weight`, which stands before
    both terms, because before the loss alone it would cancel. At the optimum the weight of a loss
    is `v / (2 L)` for either kind: losses count by how much of them is left to explain.

    Reference: Kendall, Gal, Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for
    Scene Geometry and Semantics", CVPR 2018, Eqs. 7 and 10. The form of Liebel and Körner (2018),
    with `log(1 + sigma^2)`, keeps the sum above 0 but is no likelihood: its optimum is not at
    `1 / (2 L)`. Ours: s starts at the optimum of a model that predicts base rates, or a regression
    in seconds would spend its first thousand steps on finding its scale; a task without a row in
    the batch leaves its s as it is.

    Args:
        config: Config; its learning rate goes to the optimizer.
        tasks: Tasks in the order of the losses.
    """

    weighs = True

    def build(self, input_shape: Any) -> None:
        self.kind_factors = np.array([0.5 if t.is_squared else 1.0 for t in self.tasks], np.float32)
        self.log_variances = self.add_weight(
            name="log_variances", shape=(len(self.tasks),), initializer="zeros"
        )
        super().build(input_shape)

    def start(self, losses: Mapping[str, float]) -> None:
        known = np.array([losses[task.name] for task in self.tasks])
        self.log_variances.assign(np.log(2 * self.kind_factors * np.maximum(known, 1e-6)))

    def objective(self, losses: Sequence[tf.Tensor], known: tf.Tensor) -> tf.Tensor:
        s = tf.clip_by_value(self.log_variances, -_LARGEST, _LARGEST)
        weighted = self.kind_factors * tf.exp(-s) * tf.stack(losses)
        return tf.reduce_sum(weighted + known * self.loss_weights * s / 2)

    def task_weights(self) -> tf.Tensor:
        s = tf.clip_by_value(tf.convert_to_tensor(self.log_variances), -_LARGEST, _LARGEST)
        return self.kind_factors * tf.exp(-s)
