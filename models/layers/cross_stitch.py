"""Separate networks whose features are mixed after every layer.

Shape letters: B batch, T tasks, S the tasks whose networks are mixed, U units.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.experts import mix
from taskroute.models.layers.trunk import RoutingMatrix, Trunk
from taskroute.schemas import trunks


class CrossStitch(Trunk):
    """Cross-stitch networks: one network a task, `x_t <- sum_s alpha_ts x_s` after every layer.

    Reference: Misra et al., "Cross-Stitch Networks for Multi-task Learning", CVPR 2016, Eq. 1. The
    paper has two tasks, and mixes convolutional features by one factor for all positions; here any
    number of tasks, and one factor for all units. A factor may become negative.

    At the start alpha_tt is `own_start`, and the others share 1 - own_start, which preserves
    magnitudes, as the paper advises.

    Args:
        config: Config of widths, activation (before mixing), dropout and `own_start`.
        task_names: Keys of the result.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units.

    Returns:
        {task: (B, units[-1])}.

    Raises:
        ValueError: If there is no task.
    """

    config: trunks.CrossStitchTrunk

    def __init__(self, config: trunks.CrossStitchTrunk, task_names: Sequence[str], **kwargs: Any):
        super().__init__(config, task_names, **kwargs)
        sizes = [(len(self.task_names), width) for width in config.units]
        self.networks = self._dense_rows(sizes, "layer")

    def build(self, input_shape: Any) -> None:
        tasks = len(self.task_names)
        own = self.config.own_start if tasks > 1 else 1.0
        start_TS = np.full((tasks, tasks), (1 - own) / max(tasks - 1, 1))
        np.fill_diagonal(start_TS, own)
        self.alphas = [
            self.add_weight(
                name=f"alpha_{index}",
                shape=(tasks, tasks),
                initializer=keras.initializers.Constant(start_TS),
            )
            for index, _ in enumerate(self.networks, start=1)
        ]
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        for networks, alpha_TS in zip(self.networks, self.alphas, strict=True):
            inputs = mix(alpha_TS, networks(inputs, training=training))
        return self._by_task(inputs, axis=0)

    def routing(self) -> tuple[RoutingMatrix, ...]:
        """Shares of each factor in the sum of its task's magnitudes."""
        matrices = []
        for networks, alpha_TS in zip(self.networks, self.alphas, strict=True):
            size_TS = tf.abs(alpha_TS)
            share_TS = tf.math.divide_no_nan(size_TS, tf.reduce_sum(size_TS, axis=1, keepdims=True))
            matrices.append(
                RoutingMatrix(networks.name, self.task_names, self.task_names, share_TS)
            )
        return tuple(matrices)

    @property
    def routing_variables(self) -> list[tf.Variable]:
        return list(self.alphas)

    def macs(self) -> int:
        tasks = len(self.task_names)
        return sum(networks.macs() for networks in self.networks) + tasks**2 * sum(
            self.config.units
        )
