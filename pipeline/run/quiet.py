"""Keeps the noise of TensorFlow, Beam and absl out of sight: it goes to a file."""

import logging
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
    With `verbose` nothing is redirected.
    """
    if verbose:
        yield Console(highlight=False)
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(target, descriptor)
    warnings.simplefilter("ignore")
    logging.captureWarnings(True)
    stream = os.fdopen(os.dup(saved[0]), "w", encoding="utf-8")
    try:
        yield Console(file=stream, highlight=False)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        stream.close()
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
        os.close(target)
