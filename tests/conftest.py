"""Environment of all tests. `taskroute` must be installed, as `make test` does."""

import os

from taskroute.schemas import environment

# Before any test imports TensorFlow.
environment.prepare()
# A developer's own data folder is not the tests'.
os.environ.pop("TASKROUTE_DATA", None)
