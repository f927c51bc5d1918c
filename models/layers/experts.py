"""Parallel MLPs of equal shape, computed together.

Shape letters: B batch, G groups that read the same input, N experts of a group, E = G * N experts,
D width of an input, U units of each expert.
"""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from taskroute.models.layers.noise import Dropout


class Experts(keras.layers.Layer):
    """Parallel MLPs with one weight tensor and one product a layer.

    Experts with a common input are columns of one wide product, which is as fast as a dense layer;
    others are one batched product. Weights start as in separate dense layers: Glorot's limits
    follow each expert's own widths, not the wide tensor's.

    Args:
        num_experts: Number of MLPs, E.
        units: Width of each layer within an expert, bottom up.
        num_inputs: Number of inputs, G. The first E / G experts read the first one, and so on.
        experts_first: Whether the result has the experts on its first axis, which suits further
            experts and sums with common factors, or on its second, which suits sums with factors
            that differ from example to example.
        activation: Name of the activation after each layer.
        dropout: Share of units dropped after each layer while training.

    Call arguments:
        inputs: float tensor (G, B, D), or (B, D) for one input.
        training: Whether to drop units.

    Returns:
        (E, B, units[-1]) if `experts_first`, else (B, E, units[-1]).

    Raises:
        ValueError: If a size is not positive, `num_inputs` does not divide `num_experts`, or the
            input has another shape.
    """

    def __init__(
        self,
        num_experts: int,
        units: Sequence[int],
        *,
        num_inputs: int = 1,
        experts_first: bool = False,
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        if not units or min(num_experts, num_inputs, *units) <= 0:
            raise ValueError(
                "`num_experts`, `num_inputs` and `units` must be positive. Received: "
                f"num_experts={num_experts}, num_inputs={num_inputs}, units={units}"
            )
        if num_experts % num_inputs:
            raise ValueError(
                "`num_experts` must be divisible by `num_inputs`. Received: "
                f"num_experts={num_experts}, num_inputs={num_inputs}"
            )
        super().__init__(**kwargs)
        self.num_experts, self.units, self.num_inputs = num_experts, tuple(units), num_inputs
        self.experts_first = experts_first
        self.activation, self.dropout = activation, dropout
        self._activate = keras.activations.get(activation)
        self._drop = Dropout(dropout)

    def build(self, input_shape: Any) -> None:
        if math.prod(input_shape[:-2]) != self.num_inputs:
            raise ValueError(
                "The input must be (num_inputs, batch, width), or (batch, width) for one input. "
                f"Received: shape={tuple(input_shape)}, num_inputs={self.num_inputs}"
            )
        self.kernels, self.biases = [], []
        groups, width = self.num_inputs, int(input_shape[-1])
        for index, units in enumerate(self.units, start=1):
            columns = self.num_experts // groups * units
            kernel = self.add_weight(
                name=f"kernel_{index}",
                shape=(groups, width, columns),
                initializer=glorot_uniform(width, units),
            )
            bias = self.add_weight(
                name=f"bias_{index}", shape=(groups, columns), initializer="zeros"
            )
            self.kernels.append(kernel)
            self.biases.append(bias)
            groups, width = self.num_experts, units
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        groups, outputs = self.num_inputs, inputs
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            outputs = regroup(outputs, groups, kernel.shape[0])
            groups = kernel.shape[0]
            outputs = self._activate(grouped_product(outputs, kernel, bias))
            outputs = self._drop(outputs, training=training)
        if self.experts_first:
            outputs = regroup(outputs, groups, self.num_experts)
            return outputs if self.num_experts > 1 else outputs[tf.newaxis]
        return tf.reshape(join_groups(outputs), [-1, self.num_experts, self.units[-1]])

    def last_weights(self) -> list[tf.Variable]:
        """Weights of the last layer, once built."""
        return [self.kernels[-1], self.biases[-1]]

    def macs(self) -> int:
        """Multiply-accumulates of a row, once built."""
        return sum(kernel.shape.num_elements() for kernel in self.kernels)


def glorot_uniform(fan_in: int, fan_out: int) -> keras.initializers.Initializer:
    """Glorot's uniform initializer for blocks of `fan_in` by `fan_out` in a larger tensor."""
    limit = math.sqrt(6 / (fan_in + fan_out))
    return keras.initializers.RandomUniform(-limit, limit)


# A single group has two axes (B, C), several have three (G, B, C): TensorFlow fuses a product with
# its bias and activation only where it has two axes.


def regroup(outputs: tf.Tensor, groups: int, parts: int) -> tf.Tensor:
    """Reshapes (G, B, N * U), or (B, N * U) for one group, to (E, B, U), E = `parts`."""
    if groups == parts:
        return outputs
    each = parts // groups
    units = outputs.shape[-1] // each
    if groups == 1:
        return tf.transpose(tf.reshape(outputs, [-1, parts, units]), [1, 0, 2])
    outputs_GNBU = tf.transpose(tf.reshape(outputs, [groups, -1, each, units]), [0, 2, 1, 3])
    return tf.reshape(outputs_GNBU, [parts, -1, units])


def join_groups(outputs: tf.Tensor) -> tf.Tensor:
    """Reshapes (G, B, C), or (B, C) for one group, to (B, G * C)."""
    if outputs.shape.rank == 2:
        return outputs
    groups, _, columns = outputs.shape
    return tf.reshape(tf.transpose(outputs, [1, 0, 2]), [-1, groups * columns])


def grouped_product(
    inputs: tf.Tensor, kernel_GDC: tf.Tensor, bias_GC: tf.Tensor | None = None
) -> tf.Tensor:
    """Multiplies each group by its kernel, adds its bias: (G, B, C), or (B, C) for one group."""
    groups, width, columns = kernel_GDC.shape
    if groups == 1:
        # A reshape costs nothing; a slice of the kernel would cost a copy on the way back.
        inputs = tf.reshape(inputs, [-1, width])
        outputs = tf.matmul(inputs, tf.reshape(kernel_GDC, [width, columns]))
        if bias_GC is None:
            return outputs
        return tf.nn.bias_add(outputs, tf.reshape(bias_GC, [columns]))
    outputs = tf.matmul(inputs, kernel_GDC)
    return outputs if bias_GC is None else outputs + bias_GC[:, tf.newaxis]


def mix(weights_OI: tf.Tensor, inputs_IBU: tf.Tensor) -> tf.Tensor:
    """Sums inputs with factors that all examples share: (O, B, U)."""
    lower, _, units = inputs_IBU.shape
    mixed = tf.matmul(weights_OI, tf.reshape(inputs_IBU, [lower, -1]))
    return tf.reshape(mixed, [weights_OI.shape[0], -1, units])
