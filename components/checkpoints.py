"""Folders in which stages keep the progress of long work until it has ended."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from tfx.dsl.io import fileio


@contextmanager
def checkpoint_folder(folder: str, *parts: str) -> Iterator[str]:
    """Yields the folder in which a run that was killed finds its progress again.

    Others in the same place are removed: they are of work that was killed and that nobody went on
    with. The folder itself goes when the work has ended, and stays where it fails.

    Args:
        folder: Place of all such folders of a stage.
        parts: All that decides the work: code, config and data.
    """
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    if fileio.exists(folder):
        for other in fileio.listdir(folder):
            if other.rstrip("/") != name and fileio.isdir(f"{folder}/{other}"):
                fileio.rmtree(f"{folder}/{other}")
    own = f"{folder}/{name}"
    yield own
    if fileio.exists(own):
        fileio.rmtree(own)
