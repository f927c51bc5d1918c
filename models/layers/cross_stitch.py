"""Separate networks whose features are mixed after every layer.

Shape letters: B batch, T tasks, S the tasks whose networks are mixed, U units.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.experts import Experts, mix
from taskroute.models.layers.trunk import RoutingMatrix, Trunk


@keras.utils.register_keras_serializable(package="taskroute")
class CrossStitch(Trunk):
    """Cross-stitch networks: one network a task, `x_t <- sum_s alpha_ts x_s` after every layer.

    Reference: Misra et al., "Cross-Stitch Networks for Multi-task Learning", CVPR 2016, Eq. 1. The
    paper has two tasks, and mixes convolutional features by one factor for all positions; here any
    number of tasks, and one factor for all units. A factor may become negative.

    Args:
        task_names: The keys of the result.
        units: Width of each layer, bottom up.
        own_start: alpha_tt at the start; the others share 1 - own_start, so that magnitudes are
            kept, as the paper advises.
        activation: Name of the activation after each layer, before mixing.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: float tensor (B, D).
        training: Whether to drop units.

    Returns:
        {task: (B, units[-1])}.

    Raises:
        ValueError: If a width is not positive, or `own_start` is outside [0, 1].
    """

    def __init__(
        self,
        task_names: Sequence[str],
        *,
        units: Sequence[int],
        own_start: float = 0.9,
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        if not units:
            raise ValueError(f"`units` must not be empty. Received: units={units}")
        if not 0 <= own_start <= 1:
            raise ValueError(f"`own_start` must be in [0, 1]. Received: own_start={own_start}")
        super().__init__(task_names, **kwargs)
        self.units, self.own_start = tuple(units), own_start
        self.activation, self.dropout = activation, dropout
        tasks = len(self.task_names)
        self.networks = [
            Experts(
                tasks,
                (width,),
                num_inputs=1 if index == 1 else tasks,
                experts_first=True,
                activation=activation,
                dropout=dropout,
                name=f"layer_{index}",
            )
            for index, width in enumerate(self.units, start=1)
        ]

    def build(self, input_shape: Any) -> None:
        tasks = len(self.task_names)
        others = (1 - self.own_start) / (tasks - 1) if tasks > 1 else 0.0
        start_TS = np.full((tasks, tasks), others)
        np.fill_diagonal(start_TS, self.own_start if tasks > 1 else 1.0)
        self.alphas = [
            self.add_weight(
                name=f"alpha_{index}",
                shape=(tasks, tasks),
                initializer=keras.initializers.Constant(start_TS),
            )
            for index, _ in enumerate(self.units, start=1)
        ]
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        for networks, alpha_TS in zip(self.networks, self.alphas, strict=True):
            inputs = mix(alpha_TS, networks(inputs, training=training))
        return self._by_task(inputs, axis=0)

    def routing(self) -> tuple[RoutingMatrix, ...]:
        """Each task's shares of the sum of its factors' magnitudes."""
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
        return sum(networks.macs() for networks in self.networks) + tasks**2 * sum(self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "own_start": self.own_start,
            "activation": self.activation,
            "dropout": self.dropout,
        }
