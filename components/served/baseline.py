"""What a candidate is compared with: the model that serves when the evaluation runs."""

from pathlib import Path

from taskroute.components.measures.records import Baseline
from taskroute.components.served import registry


def read_baseline(serving: str | Path) -> Baseline | None:
    """The version that the serving folder's pointer names; None where nothing was pushed yet.

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
