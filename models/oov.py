"""Ids that a training drops to out-of-vocabulary ones.

A vocabulary that holds every term of the train split leaves no train row for its OOV buckets: terms
that come later would meet embeddings that nothing has trained. With a small share of the ids
dropped, anew in each epoch, an OOV bucket learns what a row is like whose term is not known.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from taskroute.models.ranker import MultiTaskRanker
from taskroute.schemas.features import IdFeature, ids_owner
from taskroute.schemas.recommender import DataConfig


def oov_ids(data: DataConfig, num_ids: Mapping[str, int]) -> dict[str, range]:
    """OOV ids of each feature whose ids come from a vocabulary, by its name.

    Args:
        data: Config of the features.
        num_ids: Number of ids of each feature with ids, by name.
    """
    found = {}
    for feature in data.features:
        if not isinstance(feature, IdFeature):
            continue
        owner = ids_owner(feature, data.features)
        if owner.vocabulary is None:
            continue
        buckets = owner.vocabulary.oov_buckets
        # In a table known terms are hashes, and the OOV buckets come before them.
        end = num_ids[feature.name] if owner.num_hashed_ids is None else 1 + buckets
        found[feature.name] = range(end - buckets, end)
    return found


@dataclass(frozen=True)
class OovDrop:
    """Drop of ids, so that a share of them is OOV.

    Attributes:
        rate: Share of OOV ids among those that are not missing. A vocabulary that leaves as many
            train rows to its OOV buckets anyway, such as one with a `min_count`, loses no id.
        oov: OOV ids by feature; one of them, drawn evenly, takes the place of a dropped id.
    """

    rate: float
    oov: Mapping[str, range]

    def __call__(self, name: str, ids: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Drops ids of a feature, int64, each drawn by itself; missing ones, 0, stay."""
        oov = self.oov.get(name)
        if oov is None or not self.rate:
            return ids
        is_known = (ids > 0) & ((ids < oov.start) | (ids >= oov.stop))
        num_known, num_present = np.count_nonzero(is_known), np.count_nonzero(ids)
        lacking = num_known - (1 - self.rate) * num_present
        if lacking <= 0:
            return ids
        (dropped,) = np.nonzero(is_known & (random.random(len(ids)) < lacking / num_known))
        ids = ids.copy()
        ids[dropped] = random.integers(oov.start, oov.stop, len(dropped))
        return ids


def missing_rows(ranker: MultiTaskRanker, oov: Mapping[str, range]) -> dict[str, np.ndarray]:
    """Embeddings (K,) of the missing value by feature, of those with rows of their own ids."""
    found = {}
    for name in oov:
        place = ranker.embedding.rows[name]
        if not place.salts:
            found[name] = ranker.embedding.tables[str(place.width)][place.first].numpy()
    return found


def fill_missing_rows(
    ranker: MultiTaskRanker, oov: Mapping[str, range], first: Mapping[str, np.ndarray]
) -> None:
    """Gives a missing value that no train row had the mean embedding of the OOV ids.

    A request without an id is then one with an id not known, and meets no untrained embedding.

    Args:
        ranker: The trained ranker.
        oov: OOV ids by feature.
        first: Its `missing_rows` before the training; those that have changed stay.
    """
    for name, row in missing_rows(ranker, oov).items():
        if name in first and (row == first[name]).all():
            place = ranker.embedding.rows[name]
            table = ranker.embedding.tables[str(place.width)]
            values = table.numpy()
            ids = oov[name]
            values[place.first] = values[place.first + ids.start : place.first + ids.stop].mean(0)
            table.assign(values)
