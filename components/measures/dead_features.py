"""Dead features: those that say the same of nearly every row, in a log or once transformed.

A feature is judged by codes, 0 where it is missing: ids, or numbers of distinct values. The codes
of a log's rows are made here, those of transformed rows by Transform.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.schemas.columns import feature_columns
from taskroute.schemas.features import (
    BucketFeature,
    DenseFeature,
    Feature,
    IdFeature,
    Vocabulary,
    ids_owner,
    missing_key,
)
from taskroute.schemas.findings import Finding, shorten
from taskroute.schemas.recommender import DataConfig

# Share of the rows that a dead feature says the same of.
LARGEST_SHARE = 0.999

# Share of terms that occur once, from which a feature is an id of the row; and rows it takes.
_OWN_TERMS = 0.99
_LEAST_ROWS = 1000

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Coded:
    """Values of one feature as codes.

    Attributes:
        codes: (V,), one a row or many; 0 is missing.
        first_oov: First code of terms outside the vocabulary, which all greater ones are, too; None
            where there are none or it is not known which.
        num_terms: Number of distinct terms of all train rows; None where it is not known.
        num_rows: Number of all train rows that have a term; None where it is not known.
    """

    codes: Ints
    first_oov: int | None = None
    num_terms: int | None = None
    num_rows: int | None = None


def find_dead_columns(
    config: DataConfig, examples: pa.Table, *, is_whole: bool = False
) -> list[Finding]:
    """Finds features of a log that will be dead.

    Args:
        config: The features.
        examples: Raw examples; features without any value in them are passed over.
        is_whole: Whether the log has no other rows: only then are rare terms known to be rare.
    """
    if not examples.num_rows:
        return []
    columns = {
        column.name: examples[column.name].combine_chunks()
        for column in feature_columns(config)
        if column.name in examples.column_names
    }
    found = []
    for feature in config.features:
        if feature.column not in columns:
            continue
        lists = columns[feature.column]
        if isinstance(lists, pa.ChunkedArray):
            lists = pa.concat_arrays(lists.chunks)
        lengths = np.asarray(pc.fill_null(lists.value_lengths(), 0))
        if lengths.any():
            owner = ids_owner(feature, config.features) if isinstance(feature, IdFeature) else None
            coded = _codes_of_column(feature, owner, lists, lengths, is_whole)
            found.append((feature, coded))
    return shorten(list(_findings(found, "rows")))


def find_dead_features(
    config: DataConfig, transformed: pa.Table, num_terms: Mapping[str, int], num_rows: int
) -> list[Finding]:
    """Finds transformed features that are dead.

    Args:
        config: The features.
        transformed: Transformed rows of the train split.
        num_terms: Number of terms of each vocabulary, by the feature that has it.
        num_rows: Number of all rows of the train split.
    """
    if not transformed.num_rows:
        return []
    found = []
    for feature in config.features:
        if feature.name in transformed.column_names:
            found.append((feature, _codes_of_feature(feature, config, transformed, num_terms)))
    shares = {feature.name: np.mean(coded.codes > 0) for feature, coded in found}
    found = [
        (feature, Coded(c.codes, c.first_oov, c.num_terms, round(num_rows * shares[feature.name])))
        for feature, c in found
    ]
    return shorten(list(_findings(found, "train rows")))


def _findings(found: list[tuple[Feature, Coded]], rows: str) -> Iterator[Finding]:
    for feature, coded in found:
        share = float(np.mean(coded.codes == 0))
        if share >= LARGEST_SHARE:
            text = (
                f"feature '{feature.name}': it is missing in {_percent(share)} of the {rows}; "
                f"check column '{feature.column}', or leave it out"
            )
            yield Finding(kind="dead_feature", subject=feature.column, sentence=text)
            continue
        sentence = _sentence(feature, coded, rows)
        if sentence is not None:
            text = f"feature '{feature.name}': {sentence}"
            yield Finding(kind="dead_feature", subject=feature.name, sentence=text)


def _sentence(feature: Feature, coded: Coded, rows: str) -> str | None:
    """Description of a dead feature; None of one that is not."""
    kind = "terms" if feature.column_kind == "texts" else rows
    _, counts = np.unique(coded.codes, return_counts=True)
    share = counts.max() / counts.sum()
    column = f"column '{feature.column}'"
    if coded.first_oov is not None:
        of_oov = float(np.mean(coded.codes >= coded.first_oov))
        if of_oov >= LARGEST_SHARE:
            return (
                f"{_percent(of_oov)} of the {kind} are outside its vocabulary and cannot be told "
                "apart; lower `vocabulary.min_count`, or leave it out if each row has its own term"
            )
    if share >= LARGEST_SHARE:
        what = "fall into one bucket" if isinstance(feature, BucketFeature) else "are the same"
        return f"{_percent(share)} of the {kind} {what}; check {column}, or leave it out"
    if (
        isinstance(feature, IdFeature)
        and coded.num_terms is not None
        and coded.num_rows is not None
        and coded.num_rows >= _LEAST_ROWS
        and coded.num_terms >= _OWN_TERMS * coded.num_rows
    ):
        return (
            f"nearly every row has a term of its own ({coded.num_terms:,} terms in "
            f"{coded.num_rows:,} {rows}), from which nothing follows for a new row; leave it out"
        )
    return None


def _percent(share: float) -> str:
    """Share in words that rounding does not make greater."""
    return "all" if share == 1 else f"{np.floor(share * 1e4 + 1e-6) / 1e4:.2%}"


def _codes_of_column(
    feature: Feature,
    owner: IdFeature | None,
    lists: pa.ListArray,
    lengths: Ints,
    is_whole: bool,
) -> Coded:
    missing = np.zeros(int((lengths == 0).sum()), np.int64)
    flat = lists.flatten()
    if owner is None:
        numbers = np.asarray(flat)
        if isinstance(feature, BucketFeature) and feature.boundaries is not None:
            bounds = np.asarray(feature.boundaries, np.float32)
            codes = np.searchsorted(bounds, numbers, side="right")
        else:
            codes = np.unique(numbers, return_inverse=True)[1]
        return Coded(np.concatenate([codes + 1, missing]))
    encoded = flat.dictionary_encode()
    codes = np.asarray(encoded.indices).astype(np.int64)
    counts = np.bincount(codes, minlength=1)
    # The most frequent terms have the least codes, as in a vocabulary.
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    codes = np.concatenate([rank[codes] + 1, missing])
    if not is_whole or feature is not owner:
        return Coded(codes)
    first_oov = _num_kept(counts, owner.vocabulary) + 1 if owner.vocabulary else None
    if feature.column_kind != "text":
        return Coded(codes, first_oov)
    return Coded(codes, first_oov, len(counts), int((lengths > 0).sum()))


def _num_kept(counts: Ints, vocabulary: Vocabulary) -> int:
    """Number of terms that a vocabulary keeps."""
    kept = int((counts >= vocabulary.min_count).sum())
    return kept if vocabulary.max_size is None else min(kept, vocabulary.max_size)


def _codes_of_feature(
    feature: Feature, config: DataConfig, transformed: pa.Table, num_terms: Mapping[str, int]
) -> Coded:
    column = transformed[feature.name]
    if isinstance(feature, DenseFeature):
        is_missing = np.asarray(transformed[missing_key(feature)]) > 0
        codes = np.unique(np.asarray(column), return_inverse=True)[1] + 1
        return Coded(np.where(is_missing, 0, codes))
    if isinstance(feature, BucketFeature):
        return Coded(np.asarray(column).astype(np.int64))
    ids = column
    if pa.types.is_list(column.type):
        lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
        ids = pa.chunked_array([pc.list_flatten(column).combine_chunks()])
        empty = np.zeros(int((lengths == 0).sum()), np.int64)
        codes = np.concatenate([np.asarray(ids).astype(np.int64), empty])
    else:
        codes = np.asarray(ids).astype(np.int64)
    owner = ids_owner(feature, config.features)
    terms = num_terms.get(owner.name)
    if terms is None or owner.table is not None:
        return Coded(codes)
    is_own = feature is owner and feature.column_kind == "text"
    shared = any(
        isinstance(other, IdFeature) and other.shares == feature.name for other in config.features
    )
    return Coded(codes, terms + 1, terms if is_own and not shared else None)
