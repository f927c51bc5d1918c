"""Terms of a model's vocabularies, as ascending hashes, and which rows have a term of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from taskroute.components.logs.hashes import hash_texts
from taskroute.schemas.analysis import vocabulary_name
from taskroute.schemas.evaluation import Evaluation, terms_slice
from taskroute.schemas.features import CategoricalFeature, Feature, IdFeature, ids_owner

# Ascending hashes of the terms of each vocabulary, by column of the log.
Vocabularies = Mapping[str, npt.NDArray[np.uint64]]

# Columns of an evaluation with slices of new and of known terms: each costs as much as two slices.
_MOST_COLUMNS = 3


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


def vocabularies_to_slice(
    folder: str | Path, features: Sequence[Feature], evaluation: Evaluation
) -> dict[str, npt.NDArray[np.uint64]]:
    """Reads the vocabularies by which an evaluation tells rows of new and of known terms apart.

    Args:
        folder: The candidate's SavedModel.
        features: Features of the config; those with one term a row count.
        evaluation: Settings; its gates' columns come first, then its group key, then those with the
            most terms, three in all.
    """
    single = [feature for feature in features if isinstance(feature, CategoricalFeature)]
    columns = {feature.column for feature in single}
    found = read_vocabularies(folder, features)
    gated = {gate.slice_column for gate in evaluation.gates}

    def order(column: str) -> tuple[bool, bool, int]:
        is_gated = terms_slice(column) in gated
        return not is_gated, column != evaluation.group_key, -len(found[column])

    chosen = sorted(columns & found.keys(), key=lambda column: (*order(column), column))
    return {column: found[column] for column in chosen[:_MOST_COLUMNS]}
