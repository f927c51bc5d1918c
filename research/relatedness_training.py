"""A whole training as one compiled function, for benchmarks of many small ones.

Evaluations and early stopping are inside, so that nothing returns to Python between steps. Rows,
starts and mini-batches follow from a seed; XLA draws the noise of gates and dropout without one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from synthetic_tasks import Rows, TaskFamily, World

from taskroute.models.layers.experts import Experts
from taskroute.models.trunks import build_trunk, parameter_count, routing_learning_rate
from taskroute.schemas import trunks

import tensorflow as tf  # isort: skip
import tf_keras as keras  # isort: skip

BATCH_SIZE = 128
STEPS_PER_EVALUATION = 100
MAX_EVALUATIONS = 30
PATIENCE = 6  # evaluations
TOWER_UNITS = 8
NUM_VALIDATION_ROWS, NUM_TEST_ROWS = 1_500, 3_000


@dataclass(frozen=True)
class Data:
    """float32 arrays that one training reads."""

    train: Rows
    validation: Rows
    test: Rows


@lru_cache(maxsize=64)
def draw_data(family: TaskFamily, num_rows: int, seed: int) -> Data:
    world = World(family, seed)
    counts = (num_rows, NUM_VALIDATION_ROWS, NUM_TEST_ROWS)
    return Data(*(world.draw(count, part=part) for part, count in enumerate(counts)))


@dataclass(frozen=True)
class Outcome:
    """Result of a training at the evaluation with the lowest validation error.

    `error` is the squared error against the truth, the mean over tasks; a constant prediction has
    1. `validation` is against noisy labels. `routing` holds the trunk's matrices.
    """

    error: float
    validation: float
    steps: int
    routing: tuple[np.ndarray, ...]


class Training:
    """A trunk, the tasks' towers and their whole training as one compiled function.

    Args:
        config: The trunk, its widths as they are.
        family: Gives the number of tasks and the width of the input.
        max_rows: Inputs are padded to so many, so that one program serves them all.
    """

    def __init__(self, config: trunks.Trunk, family: TaskFamily, max_rows: int):
        self.config, self.max_rows = config, max_rows
        self.task_names = [f"task_{index}" for index in range(family.num_tasks)]
        self.width = family.width
        # Error of predicting the mean: the truth has variance 1.
        self.base_loss = family.num_tasks * (1 + family.noise**2)
        self.layers = self._new_layers()
        self.trunk, self.towers, self.heads = self.layers
        self.starts: dict[int, list[np.ndarray]] = {}
        routing = self.trunk.routing_variables
        self.variables = [v for layer in self.layers for v in layer.trainable_weights]
        self.is_routing = [any(v is other for other in routing) for v in self.variables]
        self.optimizer = self._new_optimizer(routing=False)
        self.gate_optimizer = self._new_optimizer(routing=True) if routing else None
        self.program = tf.function(self._train, jit_compile=True)

    def run(
        self, data: Data, *, seed: int, learning_rate: float, patience: int = PATIENCE
    ) -> Outcome:
        """Trains from the start that `seed` names."""
        self._restart(seed, learning_rate)
        count = len(data.train.inputs)
        padding = [(0, self.max_rows - count), (0, 0)]
        validation, test, matrices, evaluations = self.program(
            np.pad(data.train.inputs, padding),
            np.pad(data.train.labels, padding),
            data.validation.inputs,
            data.validation.labels,
            data.test.inputs,
            data.test.truth,
            tf.constant(count),
            tf.constant(seed),
            tf.constant(patience),
        )
        best = int(np.argmin(validation[: int(evaluations)]))
        return Outcome(
            error=float(test[best]),
            validation=float(validation[best]),
            steps=(best + 1) * STEPS_PER_EVALUATION,
            routing=tuple(matrix[best].numpy() for matrix in matrices),
        )

    def _new_layers(self) -> tuple[Any, Any, Any]:
        tasks = len(self.task_names)
        arguments: dict[str, Any] = {"num_inputs": tasks, "experts_first": True}
        layers = (
            build_trunk(self.config, self.task_names, self.width),
            Experts(tasks, (TOWER_UNITS,), **arguments),
            Experts(tasks, (1,), activation="linear", **arguments),
        )
        _predict(layers, tf.zeros([1, self.width]), training=False)
        layers[0].set_loss_scale(self.base_loss)
        return layers

    def _new_optimizer(self, *, routing: bool) -> keras.optimizers.Optimizer:
        optimizer = keras.optimizers.Adam(routing_learning_rate(self.config) or 0.0)
        optimizer.build(self._select(self.variables, routing))
        return optimizer

    def _select(self, values: Sequence[Any], routing: bool) -> list[Any]:
        return [v for v, is_it in zip(values, self.is_routing, strict=True) if is_it == routing]

    def _restart(self, seed: int, learning_rate: float) -> None:
        if seed not in self.starts:
            keras.utils.set_random_seed(seed)
            layers = self._new_layers()
            self.starts[seed] = [w.numpy() for layer in layers for w in layer.weights]
        weights = [weight for layer in self.layers for weight in layer.weights]
        for weight, start in zip(weights, self.starts[seed], strict=True):
            weight.assign(start)
        for optimizer in filter(None, (self.optimizer, self.gate_optimizer)):
            rate = float(optimizer.learning_rate)
            for variable in optimizer.variables:
                variable.assign(tf.zeros_like(variable))
            optimizer.learning_rate = rate
        self.optimizer.learning_rate = learning_rate

    def _train(
        self,
        inputs: tf.Tensor,
        labels: tf.Tensor,
        validation_inputs: tf.Tensor,
        validation_labels: tf.Tensor,
        test_inputs: tf.Tensor,
        test_truth: tf.Tensor,
        count: tf.Tensor,
        seed: tf.Tensor,
        patience: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], tf.Tensor]:
        """Errors and routing at each evaluation, and how many evaluations there were."""
        validation, test = tf.zeros([MAX_EVALUATIONS]), tf.zeros([MAX_EVALUATIONS])
        shapes = [matrix.values.shape for matrix in self.trunk.routing()]
        matrices = [tf.zeros([MAX_EVALUATIONS, *shape]) for shape in shapes]
        index, best_index, best = tf.constant(0), tf.constant(0), tf.constant(np.inf, tf.float32)
        while index < MAX_EVALUATIONS and index - best_index <= patience:
            first = index * STEPS_PER_EVALUATION
            for step in tf.range(STEPS_PER_EVALUATION):
                chosen = tf.random.stateless_uniform(
                    [BATCH_SIZE], tf.stack([seed, first + step]), 0, count, tf.int32
                )
                self._step(tf.gather(inputs, chosen), tf.gather(labels, chosen))
            error = self._error(validation_inputs, validation_labels)
            validation = _put(validation, index, error)
            test = _put(test, index, self._error(test_inputs, test_truth))
            routing = [matrix.values for matrix in self.trunk.routing()]
            matrices = [_put(m, index, now) for m, now in zip(matrices, routing, strict=True)]
            best_index = tf.where(error < best, index, best_index)
            best = tf.minimum(best, error)
            index += 1
        return validation, test, matrices, index

    def _step(self, inputs: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            errors = (_predict(self.layers, inputs, training=True) - labels) ** 2
            # As the ranker does: the sum over tasks of means over examples.
            loss = tf.reduce_sum(tf.reduce_mean(errors, axis=0))
            loss += tf.add_n([*self.trunk.losses, tf.zeros([])])
        gradients = list(zip(tape.gradient(loss, self.variables), self.variables, strict=True))
        self.optimizer.apply_gradients(self._select(gradients, False))
        if self.gate_optimizer is not None:
            self.gate_optimizer.apply_gradients(self._select(gradients, True))

    def _error(self, inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean((_predict(self.layers, inputs, training=False) - labels) ** 2)


def _predict(layers: tuple[Any, Any, Any], inputs: tf.Tensor, *, training: bool) -> tf.Tensor:
    trunk, towers, heads = layers
    features = tf.stack(list(trunk(inputs, training=training).values()))
    outputs = heads(towers(features, training=training), training=training)
    return tf.transpose(tf.squeeze(outputs, axis=2))


def _put(values: tf.Tensor, index: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    return tf.tensor_scatter_nd_update(values, [[index]], [value])


def total_parameters(config: trunks.Trunk, family: TaskFamily) -> int:
    """Trained scalars of a trunk and of the towers above it."""
    if isinstance(
        config, trunks.SingleTaskTrunk | trunks.SharedBottomTrunk | trunks.CrossStitchTrunk
    ):
        units = config.units
    else:
        last = config.levels[-1] if isinstance(config, trunks.PleTrunk) else config.layers[-1]
        units = last.units if isinstance(last.units, tuple) else (last.units,)
    tower = (units[-1] + 1) * TOWER_UNITS + TOWER_UNITS + 1
    return parameter_count(config, family.width, family.num_tasks) + family.num_tasks * tower
