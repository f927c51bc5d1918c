"""Weights from the rate at which each task's loss falls."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from taskroute.models.balance.balancer import ConstantFactors
from taskroute.schemas.balance import DwaBalance


class DynamicWeightAverage(ConstantFactors):
    """Dynamic weight average: `w_t = T exp(r_t / temperature) / sum_i exp(r_i / temperature)`.

    r_t is a task's mean training loss over the last epoch, divided by that over the epoch before:
    a task whose loss falls slowly gets more. All weights are 1 in the first two epochs. A task
    that had no loss in either has r = 1.

    Reference: Liu, Johns, Davison, "End-to-End Multi-Task Learning with Attention", CVPR 2019,
    Eq. 7.

    Args:
        config: Config, whose higher `temperature` makes the weights more equal.
        tasks: Tasks in the order of the losses.
    """

    config: DwaBalance

    def build(self, input_shape: Any) -> None:
        state: dict[str, Any] = {"shape": (len(self.tasks),), "trainable": False}
        self.factors = self.add_weight(name="task_weights", initializer="ones", **state)
        self.last_losses = self.add_weight(name="last_losses", initializer="zeros", **state)
        super().build(input_shape)

    def end_epoch(self, losses: Mapping[str, float]) -> None:
        last = self.last_losses.numpy()
        now = np.array([losses[task.name] for task in self.tasks], np.float32)
        compared = (last > 0) & (now > 0)
        if compared.any():
            rates = np.where(compared, now / np.where(compared, last, 1.0), 1.0)
            shares = tf.nn.softmax(rates.astype(np.float32) / self.config.temperature)
            self.factors.assign(len(self.tasks) * shares)
        self.last_losses.assign(now)
