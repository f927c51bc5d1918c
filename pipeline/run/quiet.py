"""Keeps the noise of TensorFlow, Beam and absl out of sight: it goes to a file."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console


@contextmanager
def quiet(log: Path, *, verbose: bool) -> Iterator[Console]:
    """Sends everything that is printed to `log`, except through the console it yields.

    The redirection is of the process's descriptors 1 and 2, since native libraries print too.
    Python's warnings are ignored. Afterwards all is as it was. With `verbose` nothing is changed.
    """
    if verbose:
        yield Console(highlight=False)
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("ab") as target,
        os.fdopen(os.dup(1), "w", encoding="utf-8") as terminal,
        warnings.catch_warnings(action="ignore"),
        _redirected(1, target.fileno()),
        _redirected(2, target.fileno()),
    ):
        yield Console(file=terminal, highlight=False)


@contextmanager
def _redirected(descriptor: int, target: int) -> Iterator[None]:
    """Lets a descriptor of the process write elsewhere for a while."""
    sys.stdout.flush()
    sys.stderr.flush()
    original = os.dup(descriptor)
    os.dup2(target, descriptor)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(original, descriptor)
        os.close(original)
