"""Preprocessing by TFT's analyzers: the reference of `taskroute.models.preprocessing`.

It reads tf.Examples of TFX's CsvExampleGen too: whole numbers as int64, lists as one text.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from taskroute.schemas.analysis import (
    QUANTILE_ERROR,
    counted_columns,
    num_quantiles,
    vocabulary_name,
    vocabulary_of,
)
from taskroute.schemas.features import (
    BucketFeature,
    CategoricalFeature,
    DenseFeature,
    Feature,
    IdFeature,
    ListFeature,
    SequenceFeature,
    ids_owner,
    missing_key,
)
from taskroute.schemas.recommender import DataConfig
from taskroute.schemas.tasks import Task


def preprocessing_fn(
    inputs: Mapping[str, tf.SparseTensor], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """Maps raw columns to transformed features, by feature name, label key and weight key."""
    data = DataConfig.model_validate_json(custom_config["data"])
    terms = {
        feature.name: _terms(inputs[feature.column], feature, custom_config)
        for feature in data.features
        if isinstance(feature, IdFeature)
    }
    vocabularies = _vocabularies(data, terms)
    outputs: dict[str, tf.Tensor | tf.SparseTensor] = {}
    for feature in data.features:
        column = inputs[feature.column]
        match feature:
            case CategoricalFeature() | ListFeature():
                owner = ids_owner(feature, data.features)
                ids = _ids(terms[feature.name], owner, vocabularies.get(owner.name))
                outputs[feature.name] = (
                    _one(ids) if isinstance(feature, CategoricalFeature) else ids
                )
            case BucketFeature():
                outputs[feature.name] = _one(_buckets(_as_number(column), feature))
            case DenseFeature():
                numbers = _as_number(column)
                present = tf.sparse.map_values(tf.ones_like, numbers)
                outputs[feature.name] = _one(_scale(numbers, feature))
                outputs[missing_key(feature)] = 1.0 - _one(present)
    tasks = {task.name: task for task in data.tasks}
    for task in data.tasks:
        label, weight = _label(inputs, task)
        if task.trained_where is not None:
            condition, known = _label(inputs, tasks[task.trained_where])
            weight *= condition * known
        outputs[task.label_key], outputs[task.weight_key] = label, weight
    return outputs


def _terms(
    column: tf.SparseTensor, feature: IdFeature, custom_config: Mapping[str, Any]
) -> tf.SparseTensor:
    if not isinstance(feature, ListFeature):
        return _as_text(column)
    if custom_config.get("lists_are_texts", False):
        column = _split(column, feature.separator)
    if isinstance(feature, SequenceFeature):
        length = tf.math.bincount(tf.cast(column.indices[:, 0], tf.int32))
        left = tf.gather(tf.cast(length, tf.int64), column.indices[:, 0]) - column.indices[:, 1]
        column = tf.sparse.retain(column, left <= feature.max_length)
        ragged = tf.RaggedTensor.from_value_rowids(
            column.values, column.indices[:, 0], column.dense_shape[0]
        )
        column = ragged.to_sparse()
    return column


def _vocabularies(
    data: DataConfig, terms: Mapping[str, tf.SparseTensor]
) -> dict[str, tf.Tensor | str]:
    """TFT's deferred names of the vocabulary files, by the feature that has the vocabulary."""
    files = {}
    counted = counted_columns(data.features)
    for feature in data.features:
        vocabulary = vocabulary_of(feature)
        if vocabulary is None:
            continue
        features = {
            other.column: other.name
            for other in data.features
            if isinstance(other, IdFeature) and ids_owner(other, data.features) is feature
        }
        columns = [terms[features[column]].values for column in counted[feature.name]]
        files[feature.name] = tft.vocabulary(
            tf.concat(columns, axis=0),
            top_k=vocabulary.max_size,
            frequency_threshold=vocabulary.min_count if vocabulary.min_count > 1 else None,
            vocab_filename=vocabulary_name(feature.name),
        )
    return files


def _as_text(column: tf.SparseTensor) -> tf.SparseTensor:
    return column if column.dtype == tf.string else tf.sparse.map_values(tf.as_string, column)


def _as_number(column: tf.SparseTensor) -> tf.SparseTensor:
    return tf.cast(column, tf.float32)


def _split(column: tf.SparseTensor, separator: str) -> tf.SparseTensor:
    texts = tf.sparse.to_dense(column, "")[:, 0]
    parts = tf.strings.split(texts, separator)
    return tf.ragged.boolean_mask(parts, parts != "").to_sparse()


def _one(values: tf.SparseTensor) -> tf.Tensor:
    shape = tf.stack([values.dense_shape[0], tf.ones([], tf.int64)])
    return tf.sparse.to_dense(tf.SparseTensor(values.indices, values.values, shape))[:, 0]


def _ids(column: tf.SparseTensor, owner: IdFeature, file: tf.Tensor | None) -> tf.SparseTensor:
    if owner.vocabulary is None:
        ids = tft.hash_strings(column, owner.num_hashed_ids)
    elif owner.num_hashed_ids is None:
        ids = tft.apply_vocabulary(column, file, num_oov_buckets=owner.vocabulary.oov_buckets)
    else:
        is_known = tft.apply_vocabulary(column, file, default_value=-1).values >= 0
        hashes = (owner.num_hashed_ids, owner.vocabulary.oov_buckets)
        ids = column.with_values(
            tf.where(is_known, *(tft.hash_strings(column.values, count) for count in hashes))
        )
    return tf.sparse.map_values(lambda values: values + 1, ids)


def _quantiles(column: tf.SparseTensor, feature: Feature) -> tf.Tensor:
    return tft.quantiles(column.values, num_quantiles(feature), epsilon=QUANTILE_ERROR)


def _buckets(column: tf.SparseTensor, feature: BucketFeature) -> tf.SparseTensor:
    if feature.boundaries is not None:
        boundaries = tf.constant([feature.boundaries], tf.float32)
    else:
        boundaries = _quantiles(column, feature)
    ids = tft.apply_buckets(column, boundaries)
    return tf.sparse.map_values(lambda values: tf.cast(values, tf.int64) + 1, ids)


def _scale(column: tf.SparseTensor, feature: DenseFeature) -> tf.SparseTensor:
    match feature.transform:
        case "none":
            return column
        case "quantile":
            boundaries = _quantiles(column, feature)
            return tf.sparse.map_values(tft.apply_buckets_with_interpolation, column, boundaries)
        case "log1p":
            column = tf.sparse.map_values(lambda x: tf.sign(x) * tf.math.log1p(tf.abs(x)), column)
    return tft.scale_to_z_score(column)


def _label(inputs: Mapping[str, tf.SparseTensor], task: Task) -> tuple[tf.Tensor, tf.Tensor]:
    column = _as_number(inputs[task.label.column])
    value, known = _one(column), _one(tf.sparse.map_values(tf.ones_like, column))
    if task.label.at_least is not None:
        value = tf.cast(value >= task.label.at_least, tf.float32)
    if task.label.transform == "log1p":
        value = tf.math.log1p(tf.maximum(value, 0.0))
    return value * known, known
