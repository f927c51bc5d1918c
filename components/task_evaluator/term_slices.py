"""Choice of the columns whose new and known terms an evaluation tells apart."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.components.logs.examples import read_batches
from taskroute.components.logs.hashes import hash_texts
from taskroute.components.measures.vocabularies import is_known, read_vocabularies
from taskroute.schemas.evaluation import Evaluation, terms_slice
from taskroute.schemas.features import CategoricalFeature, Feature

# Each column costs as much as two slices.
_MOST_COLUMNS = 3


def vocabularies_to_slice(
    folder: str | Path, features: Sequence[Feature], evaluation: Evaluation, files: Iterable[Path]
) -> dict[str, npt.NDArray[np.uint64]]:
    """Reads the vocabularies by which an evaluation tells rows of new and of known terms apart.

    Args:
        folder: The candidate's SavedModel.
        features: Features of the config; those with one term a row count.
        evaluation: Settings; its gates' columns come first, then its group key, then those with the
            most terms, three in all. Those without a new term are left out, unless a gate asks for
            them.
        files: Shards of raw examples.
    """
    single = {feature.column for feature in features if isinstance(feature, CategoricalFeature)}
    found = read_vocabularies(folder, features)
    gates = {gate.slice_column for gate in evaluation.gates}
    gated = {column for column in single if terms_slice(column) in gates}

    def order(column: str) -> tuple[bool, bool, int, str]:
        is_key = column == evaluation.group_key
        return column not in gated, not is_key, -len(found[column]), column

    chosen = sorted(single & found.keys(), key=order)[:_MOST_COLUMNS]
    idle = {column: found[column] for column in chosen if column not in gated}
    for file in files:
        if not idle:
            break
        for batch in read_batches(str(file), sorted(idle)):
            for column in [column for column in idle if _has_new(batch[column], idle[column])]:
                del idle[column]
    return {column: found[column] for column in chosen if column not in idle}


def _has_new(lists: pa.Array, vocabulary: npt.NDArray[np.uint64]) -> bool:
    terms = pc.unique(lists.flatten())
    terms = terms.filter(pc.greater(pc.binary_length(terms), 0))
    return not bool(is_known(hash_texts(terms), vocabulary).all())
