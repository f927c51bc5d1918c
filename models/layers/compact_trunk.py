"""Served form of a trunk: products and sums of its open parts only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras as keras


@dataclass(frozen=True)
class _Weights:
    kernel: tf.Variable | None
    bias: tf.Variable | None
    activation: str


@dataclass(frozen=True)
class _Product:
    """Product of a value and a kernel, split into values again."""

    source: int
    weights: int
    widths: tuple[int, ...]
    macs: int


@dataclass(frozen=True)
class _Joint:
    """Sum of several products for the same units, then bias and activation."""

    inputs: tuple[int, ...]
    weights: int


@dataclass(frozen=True)
class _Sum:
    inputs: tuple[int, ...]
    factors: tuple[float, ...]


_Step = _Product | _Joint | _Sum


class CompactTrunk:
    """Short program over values (B, U), for inference only.

    Value 0 is the trunk's input. Each method that adds a step returns the numbers of the step's
    values; `finish` names the values of the tasks. Equal steps are added once, and several products
    may share weights. Then: call (B, D) -> {task: (B, U)}.

    Args:
        input_width: Width of the input, D.
    """

    def __init__(self, input_width: int):
        self._widths = [input_width]
        self._weights: list[_Weights] = []
        self._steps: dict[_Step, tuple[int, ...]] = {}
        self._outputs: dict[str, int] = {}

    def add_weights(
        self,
        kernel: np.ndarray | None,
        bias: np.ndarray | None = None,
        activation: str = "linear",
    ) -> int:
        """Adds a kernel (inputs, outputs) and its bias, and returns their number.

        The number is for `product`, or for `joint` if there is no kernel.
        """
        name = f"weights_{len(self._weights)}"
        bias_variable = None if bias is None else _variable(bias, f"{name}/bias")
        kernel_variable = None if kernel is None else _variable(kernel, f"{name}/kernel")
        self._weights.append(_Weights(kernel_variable, bias_variable, activation))
        return len(self._weights) - 1

    def product(self, source: int, weights: int, widths: Sequence[int]) -> tuple[int, ...]:
        """Adds `activation(source @ kernel + bias)`, split into values of `widths`."""
        macs = self._widths[source] * sum(widths)
        return self._add(_Product(source, weights, tuple(widths), macs), widths)

    def joint(self, inputs: Sequence[int], weights: int) -> int:
        """Adds `activation(sum of values + bias)`, for values of products without either."""
        return self._add(_Joint(tuple(inputs), weights), [self._widths[inputs[0]]])[0]

    def sum(self, inputs: Sequence[int], factors: Sequence[float]) -> int:
        """Adds the sum of values of one width, each times its factor."""
        if len(inputs) == 1 and factors[0] == 1:
            return inputs[0]
        step = _Sum(tuple(inputs), tuple(float(factor) for factor in factors))
        return self._add(step, [self._widths[inputs[0]]])[0]

    def finish(self, outputs: Mapping[str, int]) -> None:
        """Sets the value of each task."""
        self._outputs = dict(outputs)

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        values = {0: inputs}
        for step, made in self._steps.items():
            match step:
                case _Product():
                    weights = self._weights[step.weights]
                    wide = _finish(weights, tf.matmul(values[step.source], weights.kernel))
                    parts = tf.split(wide, step.widths, axis=1) if len(made) > 1 else [wide]
                    values.update(zip(made, parts, strict=True))
                case _Joint():
                    total = tf.add_n([values[number] for number in step.inputs])
                    values[made[0]] = _finish(self._weights[step.weights], total)
                case _Sum():
                    terms = [
                        values[number] if factor == 1 else values[number] * factor
                        for number, factor in zip(step.inputs, step.factors, strict=True)
                    ]
                    values[made[0]] = tf.add_n(terms) if len(terms) > 1 else terms[0]
        return {task: values[number] for task, number in self._outputs.items()}

    def cast(self, dtype: str) -> "CompactTrunk":
        """Copies the program with weights, and so values, of another floating type."""
        copy = CompactTrunk(self._widths[0])
        copy._widths, copy._steps, copy._outputs = self._widths, self._steps, self._outputs
        copy._weights = [
            _Weights(_cast(weights.kernel, dtype), _cast(weights.bias, dtype), weights.activation)
            for weights in self._weights
        ]
        return copy

    @property
    def weights(self) -> list[tf.Variable]:
        return [
            variable
            for weights in self._weights
            for variable in (weights.kernel, weights.bias)
            if variable is not None
        ]

    def parameters(self) -> int:
        """Number of weights."""
        return sum(weight.shape.num_elements() for weight in self.weights)

    def macs(self) -> int:
        """Multiply-accumulates of a row, counted as `Trunk.macs` does."""
        total = 0
        for step, made in self._steps.items():
            match step:
                case _Product():
                    total += step.macs
                case _Sum():
                    total += len(step.inputs) * self._widths[made[0]]
                case _Joint():
                    pass  # its additions are counted with its products
        return total

    def _add(self, step: _Step, widths: Sequence[int]) -> tuple[int, ...]:
        if step not in self._steps:
            first = len(self._widths)
            self._widths.extend(widths)
            self._steps[step] = tuple(range(first, first + len(widths)))
        return self._steps[step]


def _variable(value: np.ndarray, name: str) -> tf.Variable:
    return tf.Variable(np.asarray(value, np.float32), trainable=False, name=name)


def _cast(variable: tf.Variable | None, dtype: str) -> tf.Variable | None:
    if variable is None:
        return None
    name = variable.name.split(":")[0]
    return tf.Variable(tf.cast(variable, dtype), trainable=False, name=name)


def _finish(weights: _Weights, outputs: tf.Tensor) -> tf.Tensor:
    if weights.bias is not None:
        outputs = tf.nn.bias_add(outputs, weights.bias)
    return keras.activations.get(weights.activation)(outputs)
