"""Files that lock a folder for one process at a time."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taskroute.schemas.errors import UserError


@contextmanager
def locked(path: Path, refusal: Callable[[str], UserError]) -> Iterator[None]:
    """Holds a lock file; the system lets go of it when the process ends, however that ends.

    Args:
        path: The file, in a folder that is made where it is missing.
        refusal: Gives the error, from the id of the process that holds the lock.

    Raises:
        UserError: If another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise refusal(file.read().strip() or "unknown") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
