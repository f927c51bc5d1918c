"""The process environment that TensorFlow reads once, when it is first imported.

TensorFlow Recommenders works with Keras 2 only, and TensorFlow decides between Keras 2 and 3 by
`TF_USE_LEGACY_KERAS` at its first import. `models`, `components` and `pipeline` call `prepare` in
their `__init__`, so that no module of ours can be imported before the variable is set.
"""

import os

REQUIRED = {"TF_USE_LEGACY_KERAS": "1"}
DEFAULTS = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}


def prepare() -> None:
    """Sets the variables that TensorFlow reads; keeps the defaults that a user has set."""
    os.environ.update(REQUIRED)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
