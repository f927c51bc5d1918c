"""The served version, if it was trained before the newest span, and the terms that it knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from taskroute.components.logs.spans import number_of
from taskroute.components.measures.vocabularies import read_vocabularies
from taskroute.components.served.baseline import read_baseline
from taskroute.schemas.features import Feature
from taskroute.schemas.serving import ModelInfo

NOT_COMPARED = "unknown terms, predictions and calibration were not compared"


@dataclass(frozen=True)
class Served:
    """Served version; `vocabularies` holds ascending hashes of its terms, by column of the log."""

    version: int
    folder: str
    vocabularies: dict[str, npt.NDArray[np.uint64]]


def read_served(
    serving: str, features: Sequence[Feature], newest: str
) -> tuple[Served | None, str]:
    """Returns the served version, or the reason why it cannot judge the newest span.

    Args:
        serving: Folder of the model's versions; "" where there is none.
        features: Features of the config.
        newest: Name of the newest span.
    """
    baseline = read_baseline(serving) if serving else None
    if baseline is None:
        return None, f"{NOT_COMPARED}: nothing serves yet"
    folder = Path(baseline.path)
    info = ModelInfo.find(folder)
    if info is None or info.data_span is None:
        why = f"version {baseline.version} does not say what it was trained on"
        return None, f"{NOT_COMPARED}: {why}"
    if number_of(info.data_span[1]) >= number_of(newest):
        why = f"version {baseline.version}, which serves, was trained on {info.data_span[1]}"
        return None, f"{NOT_COMPARED}: {why}"
    return Served(baseline.version, str(folder), read_vocabularies(folder, features)), ""
