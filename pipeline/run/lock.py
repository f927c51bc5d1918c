"""One run at a time on a pipeline root."""

from contextlib import AbstractContextManager
from pathlib import Path

from taskroute.schemas import locks
from taskroute.schemas.errors import ConfigError


def locked(path: Path) -> AbstractContextManager[None]:
    """Holds the lock file of a pipeline root.

    Raises:
        ConfigError: If another process holds it.
    """
    return locks.locked(
        path,
        lambda owner: ConfigError(
            f"{path.parent}: another run (process {owner}) is at work on this pipeline root; "
            "wait for it or give another --root"
        ),
    )
