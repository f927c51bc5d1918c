"""What all tests share. `taskroute` must be installed, as `make test` does."""

from taskroute.schemas import environment

# Before any test imports TensorFlow.
environment.prepare()
