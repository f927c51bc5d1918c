"""Terms of a model's vocabularies, as ascending hashes, and which rows have a term of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from taskroute.components.logs.hashes import hash_texts
from taskroute.schemas.analysis import vocabulary_name
from taskroute.schemas.features import Feature, IdFeature, ids_owner

# Ascending hashes of the terms of each vocabulary, by column of the log.
Vocabularies = Mapping[str, npt.NDArray[np.uint64]]


def read_vocabularies(
    folder: str | Path, features: Sequence[Feature]
) -> dict[str, npt.NDArray[np.uint64]]:
    """Reads the vocabularies of a SavedModel, by column; columns whose ids are hashes have none."""
    vocabularies: dict[str, npt.NDArray[np.uint64]] = {}
    for feature in features:
        if not isinstance(feature, IdFeature) or feature.column in vocabularies:
            continue
        owner = ids_owner(feature, features)
        file = Path(folder) / "assets" / vocabulary_name(owner.name)
        if owner.vocabulary is not None and file.is_file():
            terms = pa.array(file.read_bytes().split(b"\n")[:-1], pa.binary())
            vocabularies[feature.column] = np.sort(hash_texts(terms))
    return vocabularies


def is_known(
    hashes: npt.NDArray[np.uint64], vocabulary: npt.NDArray[np.uint64]
) -> npt.NDArray[np.bool_]:
    """(V,) whether a vocabulary holds the term of each hash."""
    if not len(vocabulary):
        return np.zeros(len(hashes), bool)
    places = np.minimum(np.searchsorted(vocabulary, hashes), len(vocabulary) - 1)
    return vocabulary[places] == hashes
