"""Gates: weights of the connections from lower parts to upper ones.

Gates are float32 under every precision policy: their sums and clips need it.

Shape letters: B batch, G groups that read the same input, O upper parts, I lower parts, T tasks,
C experts.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.experts import (
    glorot_uniform,
    grouped_product,
    join_groups,
)
from taskroute.models.layers.noise import add_noise, next_seed

_USAGE_MOMENTUM = 0.99


class HardConcreteGate(keras.layers.Layer):
    """Matrix of gates in [0, 1] that can reach exactly 0 and exactly 1.

    A gate is a stretched, clipped, noisy sigmoid whose location `log_alpha` is learned:

        s = sigmoid((log u - log(1 - u) + log_alpha) / temperature),  u ~ U(0, 1)
        z = min(1, max(0, s (right - left) + left))

    (Louizos et al., ICLR 2018, Eqs. 10-11, https://arxiv.org/abs/1712.01312). The SNR paper (Ma et
    al., AAAI 2019, p. 219) prints `log u - log(1 - u) + log(alpha) / temperature` with a bracket
    missing; that is a misprint, and the temperature divides the noise as well.

    Noise is drawn once per gate and call, only while training. At inference
    `z = min(1, max(0, sigmoid(log_alpha) (right - left) + left))`, without temperature, so a gate
    that closed stays closed in the served model.

    Args:
        shape: Shape of the gate matrix, `(num_upper, num_lower)`.
        temperature: Sharpness of the sigmoid, in (0, 1).
        stretch: Limits `(left, right)` with `left < 0` and `right > 1`, or no gate can close or
            open.
        log_alpha_start: First value of `log_alpha`; 0 gives gates of one half. Ours: neither paper
            states it.
        keep_one: Whether a row with all gates closed at inference keeps its strongest one, fully
            open. Ours: else too large a penalty cuts a task off from its input. The guarded gate is
            not penalised, or it would sink below the next one and they would alternate.

    Call arguments:
        training: Whether to draw the noise.

    Returns:
        float32 tensor of shape `shape`.

    Raises:
        ValueError: If an argument is outside the range above.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        temperature: float = 2 / 3,
        stretch: tuple[float, float] = (-0.1, 1.1),
        log_alpha_start: float = 2.0,
        keep_one: bool = False,
        **kwargs: Any,
    ):
        if not shape or any(size <= 0 for size in shape):
            raise ValueError(f"`shape` must hold positive sizes. Received: shape={shape}")
        if not 0 < temperature < 1:
            raise ValueError(
                f"`temperature` must be in (0, 1). Received: temperature={temperature}"
            )
        left, right = stretch
        if left >= 0 or right <= 1:
            raise ValueError(
                f"`stretch` must start below 0 and end above 1. Received: stretch={stretch}"
            )
        super().__init__(dtype="float32", **kwargs)
        self.shape, self.temperature, self.stretch = tuple(shape), temperature, (left, right)
        self.log_alpha_start, self.keep_one = log_alpha_start, keep_one

    def build(self, input_shape: Any = None) -> None:
        self.log_alpha = self.add_weight(
            name="log_alpha",
            shape=self.shape,
            initializer=keras.initializers.Constant(self.log_alpha_start),
        )
        self.noise = add_noise(self)
        super().build(input_shape)

    def call(self, inputs: Any = None, training: bool = False) -> tf.Tensor:
        logits = self.log_alpha
        if training:
            # An open interval: the logarithm of either end would make the gate NaN.
            seed = next_seed(self.noise)
            uniform = tf.random.stateless_uniform(self.shape, seed, 1e-6, 1 - 1e-6)
            noise = tf.math.log(uniform) - tf.math.log1p(-uniform)
            logits = (logits + noise) / self.temperature
        gates = self._stretched(logits)
        return tf.where(self.guard(), 1.0, gates) if self.keep_one else gates

    def guard(self) -> tf.Tensor:
        """Mask of gates that are open only because their row has no other: bool, `shape`."""
        closed_O1 = tf.reduce_all(self._stretched(self.log_alpha) <= 0, axis=-1, keepdims=True)
        return closed_O1 & _strongest(self.log_alpha)

    def expected_l0(self) -> tf.Tensor:
        """Expected number of open gates while training: a differentiable float32 scalar.

        The sum of P(z > 0) = sigmoid(log_alpha - temperature log(-left / right)): the closed form
        of the penalty in Ma et al. 2019 (1 - Q(s < 0)), as in Louizos et al. Eq. 12.
        """
        left, right = self.stretch
        shift = self.temperature * math.log(-left / right)
        probabilities = tf.sigmoid(self.log_alpha - shift)
        if self.keep_one:
            probabilities = tf.where(self.guard(), 1.0, probabilities)
        return tf.reduce_sum(probabilities)

    def _stretched(self, logits: tf.Tensor) -> tf.Tensor:
        left, right = self.stretch
        return tf.clip_by_value(tf.sigmoid(logits) * (right - left) + left, 0.0, 1.0)


class GumbelMatrixGate(keras.layers.Layer):
    """Binary matrix that allocates experts to tasks, drawn anew for every mini-batch.

    A cell has two logits, on and off, that start at `log p, log(1 - p)`. While training, with
    Gumbel noise g of its own for each logit:

        soft = softmax((logits + g) / temperature)_on,  hard = [on + g_on >= off + g_off]

    The value is `hard`, the gradient that of `soft` (straight-through), so a cell that is off
    learns too. At inference there is no noise, and a tie is on. Each row is divided by
    max(number of its experts, 1), through which gradients pass as well: a task takes the mean of
    its experts (Maziarz et al., arXiv 1910.04915, and the authors' code).

    Ours: there a mini-batch holds one task and its row is drawn; here all tasks share the examples,
    so the whole matrix is drawn once a mini-batch. And a task that would have no expert at
    inference keeps its most likely one, while training too. (An empty draw gives zeros, as theirs
    does.)

    Args:
        num_tasks: Number of rows.
        num_experts: Number of columns.
        start_probability: Probability of a cell to be on at the start, p.

    Call arguments:
        temperature: Temperature, float32 scalar; without effect at inference.
        training: Whether to draw.

    Returns:
        float32 (num_tasks, num_experts); a row's positive cells are equal and sum to 1.

    Raises:
        ValueError: If a size is not positive or the probability is not within (0, 1).
    """

    def __init__(
        self, num_tasks: int, num_experts: int, *, start_probability: float = 0.5, **kwargs: Any
    ):
        if min(num_tasks, num_experts) <= 0:
            raise ValueError(
                "`num_tasks` and `num_experts` must be positive. Received: "
                f"num_tasks={num_tasks}, num_experts={num_experts}"
            )
        if not 0 < start_probability < 1:
            raise ValueError(
                "`start_probability` must be in (0, 1). Received: "
                f"start_probability={start_probability}"
            )
        super().__init__(dtype="float32", **kwargs)
        self.num_tasks, self.num_experts = num_tasks, num_experts
        self.start_probability = start_probability

    def build(self, input_shape: Any = None) -> None:
        start = [math.log(self.start_probability), math.log(1 - self.start_probability)]
        shape = (self.num_tasks, self.num_experts, 2)
        self.logits = self.add_weight(
            name="logits",
            shape=shape,
            initializer=keras.initializers.Constant(np.broadcast_to(start, shape)),
        )
        self.noise = add_noise(self)
        super().build(input_shape)

    def call(self, temperature: tf.Tensor, training: bool = False) -> tf.Tensor:
        matrix_TC = self.allocation(temperature, training)
        return matrix_TC / tf.maximum(tf.reduce_sum(matrix_TC, axis=1, keepdims=True), 1.0)

    def allocation(self, temperature: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Binary matrix, float32 (T, C), with the gradient of `soft` while training."""
        logits_TC2 = self.logits
        if training:
            # Gumbel noise -log(-log u): u is never 0, where it would be infinite.
            uniform_TC2 = tf.random.stateless_uniform(
                logits_TC2.shape, next_seed(self.noise), np.finfo(np.float32).tiny, 1.0
            )
            logits_TC2 = logits_TC2 - tf.math.log(-tf.math.log(uniform_TC2))
        lead_TC = logits_TC2[..., 0] - logits_TC2[..., 1]
        hard_TC = tf.cast((lead_TC >= 0) | self.guard(), tf.float32)
        if not training:
            return hard_TC
        soft_TC = tf.sigmoid(lead_TC / temperature)
        return hard_TC + (soft_TC - tf.stop_gradient(soft_TC))

    def probabilities(self) -> tf.Tensor:
        """Probabilities P(on) of the cells while training, float32 (T, C)."""
        return tf.nn.softmax(self.logits)[..., 0]

    def guard(self) -> tf.Tensor:
        """Mask of cells that are on only because their task has no other: bool (T, C)."""
        lead_TC = self.logits[..., 0] - self.logits[..., 1]
        return tf.reduce_all(lead_TC < 0, axis=1, keepdims=True) & _strongest(lead_TC)


class SoftmaxGate(keras.layers.Layer):
    """Softmax gates of upper parts over lower ones, for each example: `softmax(W x)`.

    Ma et al., KDD 2018, Eq. 8: linear, without a bias. Ours: `usage`, a weight that is not trained,
    holds the mean over recent training batches, so that routing can be reported without examples.

    Args:
        num_upper: Number of softmaxes, O.
        num_lower: Number of lower parts, I.
        num_inputs: Number of inputs, G: 1 for all softmaxes, or one for each.

    Call arguments:
        inputs: float tensor (G, B, D), or (B, D) for one input.
        training: Whether to update the usage.

    Returns:
        float32 (B, O, I), summing to 1 over the last axis.

    Raises:
        ValueError: If a size is not positive, or `num_inputs` is neither 1 nor `num_upper`.
    """

    def __init__(self, num_upper: int, num_lower: int, *, num_inputs: int = 1, **kwargs: Any):
        if min(num_upper, num_lower) <= 0 or num_inputs not in (1, num_upper):
            raise ValueError(
                "`num_upper` and `num_lower` must be positive, and `num_inputs` 1 or `num_upper`. "
                f"Received: num_upper={num_upper}, num_lower={num_lower}, num_inputs={num_inputs}"
            )
        super().__init__(dtype="float32", **kwargs)
        self.num_upper, self.num_lower, self.num_inputs = num_upper, num_lower, num_inputs

    def build(self, input_shape: Any) -> None:
        width = int(input_shape[-1])
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.num_inputs, width, self.num_upper * self.num_lower // self.num_inputs),
            initializer=glorot_uniform(width, self.num_lower),
        )
        shape = (self.num_upper, self.num_lower)
        self.usage = add_usage(self, np.full(shape, 1 / self.num_lower, np.float32))
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        logits = join_groups(grouped_product(inputs, self.kernel))
        gates_BOI = tf.nn.softmax(tf.reshape(logits, [-1, self.num_upper, self.num_lower]))
        if training:
            count_usage(self.usage, gates_BOI)
        return gates_BOI

    def macs(self) -> int:
        """Multiply-accumulates of a row, once built."""
        return self.kernel.shape.num_elements()


def add_usage(layer: keras.layers.Layer, start: np.ndarray) -> tf.Variable:
    """Adds an untrained weight, `usage`: the gates' mean over recent training batches."""
    return layer.add_weight(
        name="usage",
        shape=start.shape,
        initializer=keras.initializers.Constant(start),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.MEAN,
        experimental_autocast=False,
    )


def count_usage(usage: tf.Variable, gates_BOI: tf.Tensor) -> None:
    """Moves the mean towards the batch's mean."""
    change = tf.stop_gradient(tf.reduce_mean(gates_BOI, axis=0)) - usage
    usage.assign_add((1 - _USAGE_MOMENTUM) * change)


def _strongest(logits: tf.Tensor) -> tf.Tensor:
    """Mask of the largest value of each row: bool, of the same shape."""
    return tf.one_hot(tf.argmax(logits, axis=-1), logits.shape[-1], on_value=True, off_value=False)
