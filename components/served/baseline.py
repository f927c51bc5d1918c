"""The baseline: the version that is served when an evaluation runs."""

from pathlib import Path

from taskroute.components.served import registry
from taskroute.schemas.evaluation_record import Baseline


def read_baseline(serving: str | Path) -> Baseline | None:
    """Reads the served version of a serving folder; None where nothing was pushed yet.

    Raises:
        UserError: If the pointer cannot be understood.
    """
    pointer = registry.latest(serving)
    if pointer is None:
        return None
    return Baseline(
        version=pointer.version,
        path=str(Path(serving, pointer.path)),
        model_digest=pointer.model_digest,
    )
