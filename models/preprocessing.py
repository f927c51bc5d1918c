"""Entry point of Transform: from log columns to ids, numbers, labels and weights.

Feature and label logic exist here and nowhere else: the graph traced from `preprocessing_fn` also
runs inside the served model. Facts of the train split come from an `Analysis` and its vocabularies,
made before in one pass over all features.

Ids: 0 is a missing value; then the terms or buckets; then the OOV buckets of a vocabulary. A
feature that shares another's ids uses the other's vocabulary or hashes. A feature with a table has
hashes for ids, and with a vocabulary its OOV buckets come first.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from taskroute.schemas.analysis import (
    ANALYSIS_FILE,
    Analysis,
    Moments,
    vocabulary_name,
    vocabulary_of,
)
from taskroute.schemas.features import (
    BucketFeature,
    CategoricalFeature,
    DenseFeature,
    IdFeature,
    ListFeature,
    SequenceFeature,
    ids_owner,
    missing_key,
)
from taskroute.schemas.recommender import DataConfig
from taskroute.schemas.tasks import Task, in_funnel_order


def preprocessing_fn(
    inputs: Mapping[str, tf.SparseTensor], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """Maps raw columns to transformed features. Calls no analyzer of TFT.

    Args:
        inputs: Sparse tensors (B, values) by column: string, or float32 for numbers.
        custom_config: Dict of `data`, the `DataConfig` as JSON, and `analysis`, the folder of an
            `Analysis` and its vocabularies.

    Returns:
        Features by name: int64 (B,) ids; sparse int64 ids for lists, the last `max_length` ones for
        sequences; float32 (B,) numbers, each with its missing flag. Labels and weights by key:
        float32 (B,).
    """
    data = DataConfig.model_validate_json(custom_config["data"])
    folder = custom_config["analysis"]
    with tf.io.gfile.GFile(f"{folder}/{ANALYSIS_FILE}") as file:
        analysis = Analysis.model_validate_json(file.read())
    tables = _tables(data, folder)
    outputs: dict[str, tf.Tensor | tf.SparseTensor] = {}
    for feature in data.features:
        column = inputs[feature.column]
        match feature:
            case CategoricalFeature():
                owner = ids_owner(feature, data.features)
                outputs[feature.name] = _at_most_one(_term_ids(column, owner, tables), 0)
            case ListFeature():
                if isinstance(feature, SequenceFeature):
                    column = _last(column, feature.max_length)
                owner = ids_owner(feature, data.features)
                outputs[feature.name] = _term_ids(column, owner, tables)
            case BucketFeature():
                outputs[feature.name] = _at_most_one(_bucket_ids(column, feature, analysis), 0)
            case DenseFeature():
                present = tf.sparse.map_values(tf.ones_like, column)
                outputs[feature.name] = _at_most_one(_number(column, feature, analysis), 0.0)
                outputs[missing_key(feature)] = 1.0 - _at_most_one(present, 0.0)
    labels = _labels(inputs, data.tasks)
    for task in data.tasks:
        label, weight = labels[task.name]
        if task.trained_where is not None:
            condition, known = labels[task.trained_where]
            weight *= condition * known
        if task.weight is not None:
            weight *= _at_most_one(inputs[task.weight], 0.0)
        outputs[task.label_key], outputs[task.weight_key] = label, weight
    return outputs


def _at_most_one(values: tf.SparseTensor, default: int | float | str) -> tf.Tensor:
    """Dense (B,) from a sparse (B, at most 1); `default` where there is no value."""
    shape = tf.stack([values.dense_shape[0], tf.ones([], tf.int64)])
    one_wide = tf.SparseTensor(values.indices, values.values, shape)
    return tf.reshape(tf.sparse.to_dense(one_wide, default), [-1])


def _last(column: tf.SparseTensor, count: int) -> tf.SparseTensor:
    """Keeps the last `count` values of each row."""
    return tf.RaggedTensor.from_sparse(column)[:, -count:].to_sparse()


def _tables(data: DataConfig, folder: str) -> dict[str, tf.lookup.StaticVocabularyTable]:
    """Lookup tables of the features with a vocabulary, by name."""
    tables = {}
    for feature in data.features:
        vocabulary = vocabulary_of(feature)
        if vocabulary is not None:
            name = vocabulary_name(feature.name)
            make = functools.partial(_table, f"{folder}/{name}", vocabulary.oov_buckets)
            tables[feature.name] = tft.make_and_track_object(make, name)
            tft.annotate_asset(name, name)
    return tables


def _term_ids(
    column: tf.SparseTensor,
    owner: IdFeature,
    tables: Mapping[str, tf.lookup.StaticVocabularyTable],
) -> tf.SparseTensor:
    if owner.vocabulary is None:
        ids = tft.hash_strings(column, owner.num_hashed_ids)
    elif owner.num_hashed_ids is None:
        ids = tf.sparse.map_values(tables[owner.name].lookup, column)
    else:
        counts = (owner.num_hashed_ids, owner.vocabulary.oov_buckets)
        ids = tf.sparse.map_values(_hash_known, column, tables[owner.name], *counts)
    return tf.sparse.map_values(lambda values: values + 1, ids)


def _hash_known(
    terms: tf.Tensor, table: tf.lookup.StaticVocabularyTable, num_hashed: int, num_oov: int
) -> tf.Tensor:
    """Maps known terms to their hash, so that retraining moves none, others to an OOV bucket."""
    oov_bucket = table.lookup(terms) - (table.size() - num_oov)
    return tf.where(oov_bucket < 0, tft.hash_strings(terms, num_hashed), oov_bucket)


def _table(file: str, num_oov: int) -> tf.lookup.StaticVocabularyTable:
    """Makes a table from terms to lines, and from other terms by hash to `num_oov` more ids."""
    index = tf.lookup.TextFileIndex
    lines = tf.lookup.TextFileInitializer(
        file, tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER
    )
    return tf.lookup.StaticVocabularyTable(lines, num_oov)


def _bucket_ids(
    column: tf.SparseTensor, feature: BucketFeature, analysis: Analysis
) -> tf.SparseTensor:
    boundaries = feature.boundaries or analysis.boundaries[feature.name]
    ids = tft.apply_buckets(column, tf.constant([boundaries], tf.float32))
    return tf.sparse.map_values(lambda values: tf.cast(values, tf.int64) + 1, ids)


def _number(column: tf.SparseTensor, feature: DenseFeature, analysis: Analysis) -> tf.SparseTensor:
    match feature.transform:
        case "none":
            return column
        case "quantile":
            boundaries = tf.constant([analysis.boundaries[feature.name]], tf.float32)
            return tf.sparse.map_values(tft.apply_buckets_with_interpolation, column, boundaries)
        case "log1p":
            column = tf.sparse.map_values(lambda x: tf.sign(x) * tf.math.log1p(tf.abs(x)), column)
    limits = analysis.limits.get(feature.name)
    if limits is not None:
        column = tf.sparse.map_values(lambda x: limits.squash(x, tf.math), column)
    return tf.sparse.map_values(_z_scores, column, analysis.moments[feature.name])


def _z_scores(values: tf.Tensor, moments: Moments) -> tf.Tensor:
    """Distances from the mean in standard deviations; undivided where all values are equal."""
    floats = np.finfo(np.float32)
    if float(floats.tiny) <= moments.variance <= float(floats.max):
        deviation = tf.sqrt(tf.constant(moments.variance, tf.float32))
    else:
        # float32 holds the deviation of values near 1e-25 or 1e25, not their variance.
        deviation = np.float32(math.sqrt(moments.variance)) or 1.0
    return (values - moments.mean) / deviation


def _labels(
    inputs: Mapping[str, tf.SparseTensor], tasks: Sequence[Task]
) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
    """Label, and 1 where it is known, by task: float32 (B,) each.

    After a `funnel` task that has not happened, a missing label is 0: nothing could follow.
    """
    labels: dict[str, tuple[tf.Tensor, tf.Tensor]] = {}
    for task in in_funnel_order(tasks):
        label, known = _label(inputs, task)
        if task.funnel is not None:
            before, before_known = labels[task.funnel]
            known = tf.maximum(known, before_known * (1.0 - before))
        labels[task.name] = label, known
    return labels


def _label(inputs: Mapping[str, tf.SparseTensor], task: Task) -> tuple[tf.Tensor, tf.Tensor]:
    """Label (B,), and 1 where it is known (B,), both float32."""
    column = inputs[task.label.column]
    present = tf.sparse.map_values(lambda values: tf.ones_like(values, tf.float32), column)
    known = _at_most_one(present, 0.0)
    value = _at_most_one(column, "" if task.label.texts else 0.0)
    if task.label.texts:
        matches = [tf.equal(value, text) for text in task.label.texts]
        value = tf.cast(functools.reduce(tf.logical_or, matches), tf.float32)
    elif task.kind == "binary":
        value = tf.cast(task.label.is_positive(value), tf.float32)
    else:
        value = task.label.for_loss(value, tf.math)
    return value * known, known
