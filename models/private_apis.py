"""Every use of what TensorFlow Recommenders does not promise to keep; `tests/test_private_apis.py`
asks whether it is still there.
"""

from typing import Any

import tensorflow as tf


def optimizer_parts(optimizer: Any) -> list[tuple[Any, list[tf.Variable]]]:
    """The optimizers of a `CompositeOptimizer`, their state made, each with what it moves."""
    parts = [(part, list(variables())) for part, variables in optimizer._optimizers_and_vars]
    for part, variables in parts:
        part.build(variables)
    return parts
