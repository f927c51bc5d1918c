"""One run at a time on a pipeline root."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskroute.schemas.errors import ConfigError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path`; the system lets go of it when the process dies.

    Raises:
        ConfigError: If another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise ConfigError(
                f"{path.parent}: another run (process {owner}) is at work on this pipeline root; "
                "wait for it or give another --root"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
