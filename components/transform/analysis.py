"""One pass over the train split: vocabularies, moments and quantiles of all features at once.

Each shard is counted by one worker, batch by batch. Counts of terms are merged in parts, by a hash
of the term, so that no worker holds a vocabulary before it is pruned.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from taskroute.components.logs.examples import read_batches
from taskroute.components.transform.numbers import MomentSums, QuantileSketch
from taskroute.components.transform.robust_scale import RobustScale
from taskroute.components.transform.term_counts import TermCounts, most_frequent, to_lines
from taskroute.schemas.analysis import (
    ANALYSIS_FILE,
    Analysis,
    counted_columns,
    needs_moments,
    num_quantiles,
    vocabulary_name,
    vocabulary_of,
)
from taskroute.schemas.features import BucketFeature, DenseFeature, Feature, Vocabulary
from taskroute.schemas.recommender import DataConfig

_NUM_PARTS = 16
_SHARDS_OF_GROUP = 64
_NUMBERS = "numbers"

Numbers: TypeAlias = MomentSums | RobustScale | QuantileSketch


def analyze(pipeline: beam.Pipeline, shards: Sequence[str], data: DataConfig, folder: str) -> None:
    """Adds the analysis of shards of raw examples to `pipeline`.

    Args:
        pipeline: Pipeline to add to.
        shards: Files of the train split.
        data: The features.
        folder: Existing folder; gets an `Analysis` as ANALYSIS_FILE, and the vocabularies.
    """
    parts = (
        pipeline
        | "TrainShards" >> beam.Create(list(enumerate(shards)))
        | "ToAnalysts" >> beam.Reshuffle()
        | "Analyze" >> beam.ParDo(_AnalyzeShard(data)).with_outputs(_NUMBERS, main="terms")
    )
    vocabularies = _vocabularies(data)
    _ = (
        parts.terms
        | "CountTerms" >> beam.CombinePerKey(_MergeTerms())
        | "Prune" >> beam.Map(_prune, vocabularies)
        | "ByVocabulary" >> beam.GroupByKey()
        | "WriteVocabulary" >> beam.Map(_write_vocabulary, vocabularies, folder)
    )
    _ = (
        parts[_NUMBERS]
        | "ByGroup" >> beam.GroupByKey()
        | "MergeGroup" >> beam.Map(_merge_group)
        | "AllGroups" >> beam.combiners.ToList()
        | "WriteNumbers" >> beam.Map(_write_numbers, data, folder)
    )


class _AnalyzeShard(beam.DoFn):
    """Gives counts of terms by feature and part, and numbers by feature and group of shards."""

    def __init__(self, data: DataConfig):
        super().__init__()
        self._data = data

    def process(self, shard: tuple[int, str]) -> Iterator[Any]:
        index, path = shard
        features = self._data.features
        counted = counted_columns(features)
        terms = {name: TermCounts() for name in counted}
        moments = {f.name: _moments_of(f, index) for f in features if needs_moments(f)}
        quantiles = {f.name: QuantileSketch() for f in features if num_quantiles(f)}
        used = {f.column for f in features if f.name in {*moments, *quantiles}}
        used.update(column for columns in counted.values() for column in columns)
        for batch in read_batches(path, sorted(used)) if used else ():
            for name, of_vocabulary in counted.items():
                for column, last in of_vocabulary.items():
                    terms[name].add(_last(batch[column], last))
            for feature in features:
                if feature.name in moments:
                    moments[feature.name].add(_scaled(batch[feature.column], feature))
                if feature.name in quantiles:
                    quantiles[feature.name].add(np.asarray(batch[feature.column].flatten()))
        for name, counts in terms.items():
            for number, part in counts.partition(_NUM_PARTS):
                yield (name, number), part
        for name, numbers in {**moments, **quantiles}.items():
            value = ((name, index // _SHARDS_OF_GROUP), (index, numbers))
            yield beam.pvalue.TaggedOutput(_NUMBERS, value)


def _last(lists: pa.Array, count: int | None) -> pa.Array:
    """Last `count` values of each list, or all of them, one after the other."""
    values = lists.flatten()
    if count is None:
        return values
    lengths = np.asarray(pc.fill_null(lists.value_lengths(), 0))
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(values))
    return values.filter(pa.array(left <= count))


def _moments_of(feature: Feature, shard: int) -> MomentSums | RobustScale:
    """Empty moments of a feature."""
    if isinstance(feature, DenseFeature) and feature.outliers == "squash":
        return RobustScale(seed=shard)
    return MomentSums()


def _scaled(values: pa.Array, feature: Feature) -> np.ndarray:
    """Numbers whose moments are needed, (N,)."""
    numbers = np.asarray(values.flatten())
    if isinstance(feature, DenseFeature) and feature.transform == "log1p":
        return np.sign(numbers) * np.log1p(np.abs(numbers))
    return numbers


class _MergeTerms(beam.CombineFn):
    """Adds up the counts of one part of a feature's terms."""

    def create_accumulator(self) -> TermCounts:
        return TermCounts()

    def add_input(self, merged: TermCounts, part: TermCounts) -> TermCounts:
        merged.merge(part)
        return merged

    def merge_accumulators(self, accumulators: Iterable[TermCounts]) -> TermCounts:
        merged = TermCounts()
        for accumulator in accumulators:
            merged.merge(accumulator)
        return merged

    def extract_output(self, merged: TermCounts) -> TermCounts:
        return merged


def _vocabularies(data: DataConfig) -> dict[str, Vocabulary]:
    vocabularies = {feature.name: vocabulary_of(feature) for feature in data.features}
    return {name: vocabulary for name, vocabulary in vocabularies.items() if vocabulary is not None}


def _prune(
    merged: tuple[tuple[str, int], TermCounts], vocabularies: Mapping[str, Vocabulary]
) -> tuple[str, pa.Table]:
    """Selects the terms of one partition that qualify for the feature's vocabulary."""
    (name, _), part = merged
    return name, most_frequent(part.table(), vocabularies[name])


def _write_vocabulary(
    group: tuple[str, Iterable[pa.Table]], vocabularies: Mapping[str, Vocabulary], folder: str
) -> None:
    name, parts = group
    counts = most_frequent(pa.concat_tables(parts), vocabularies[name])
    _write(f"{folder}/{vocabulary_name(name)}", to_lines(counts))


def _merge_group(
    group: tuple[tuple[str, int], Iterable[tuple[int, Numbers]]],
) -> tuple[tuple[str, int], Numbers]:
    key, of_shards = group
    return key, _merge_in_order(of_shards)


def _merge_in_order(numbers: Iterable[tuple[int, Numbers]]) -> Numbers:
    """Merges by rising index: sums of floats and sketches depend on the order, a little."""
    (_, merged), *others = sorted(numbers, key=lambda pair: pair[0])
    for _, other in others:
        merged.merge(other)  # type: ignore[arg-type]
    return merged


def _write_numbers(
    groups: Sequence[tuple[tuple[str, int], Numbers]], data: DataConfig, folder: str
) -> None:
    moments, limits, boundaries = {}, {}, {}
    for feature in data.features:
        of_feature = [(group, numbers) for (name, group), numbers in groups if name == feature.name]
        if not of_feature:
            continue
        numbers = _merge_in_order(of_feature)
        if isinstance(numbers, MomentSums):
            moments[feature.name] = numbers.moments()
        elif isinstance(numbers, RobustScale):
            moments[feature.name], limits[feature.name] = numbers.constants()
        else:
            count = num_quantiles(feature) or 0
            is_bucket = isinstance(feature, BucketFeature)
            of_count = numbers.distinct_boundaries if is_bucket else numbers.boundaries
            boundaries[feature.name] = of_count(count)
    analysis = Analysis(moments=moments, limits=limits, boundaries=boundaries)
    _write(f"{folder}/{ANALYSIS_FILE}", analysis.model_dump_json(indent=1).encode())


def _write(path: str, content: bytes) -> None:
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(content)
