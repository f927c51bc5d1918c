"""What all tests share. `taskroute` must be installed, as `make test` does."""

import os

import pytest

from taskroute.schemas import environment

# Before any test imports TensorFlow.
environment.prepare()
# A developer's own data folder is not the tests'.
os.environ.pop("TASKROUTE_DATA", None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Says what one process must run: a file, or all files that share the run of `world`."""
    for item in items:
        definitions = item._fixtureinfo.name2fixturedefs.get("world")
        group = definitions[-1].baseid if definitions else item.location[0]
        item.add_marker(pytest.mark.xdist_group(group))
