"""Uses of private APIs of TensorFlow Recommenders; `tests/test_private_apis.py` checks them."""

from typing import Any

import tensorflow as tf


def optimizer_parts(optimizer: Any) -> list[tuple[Any, list[tf.Variable]]]:
    """Optimizers of a `CompositeOptimizer`, built, each with its variables."""
    parts = [(part, list(variables())) for part, variables in optimizer._optimizers_and_vars]
    for part, variables in parts:
        part.build(variables)
    return parts
