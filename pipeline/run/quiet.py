"""Sends the noise of TensorFlow, Beam and absl to a file."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console


@contextmanager
def quiet(log: Path, *, verbose: bool) -> Iterator[Console]:
    """Sends all prints to `log`, except those through the yielded console.

    The redirection is of the process's descriptors 1 and 2, since native libraries print too.
    Python's warnings are ignored. Both end with the context; `verbose` changes nothing.
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
    """Points a descriptor of the process to another one for a while."""
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
