"""Entry point of TFX Transform: from log columns to ids, numbers, labels and weights.

Feature and label logic exist here and nowhere else: the graph traced from `preprocessing_fn` also
runs inside the served model. TFX reloads this module, so it defines functions only.

Ids: 0 is a missing value; then the terms or buckets; then the OOV buckets of a vocabulary.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from taskroute.schemas.features import (
    BucketFeature,
    CategoricalFeature,
    DenseFeature,
    MultivalentFeature,
    missing_key,
)
from taskroute.schemas.recommender import DataConfig
from taskroute.schemas.tasks import Task


def preprocessing_fn(
    inputs: Mapping[str, tf.SparseTensor], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """Maps raw columns to transformed features.

    Args:
        inputs: One sparse tensor (B, values) a column: string, or float32 for numbers.
        custom_config: `data` holds the `DataConfig` as JSON.

    Returns:
        By feature name: int64 (B,) ids; sparse int64 ids for multivalent features; float32 (B,)
        numbers, each with its missing flag. By label and weight key of each task: float32 (B,).
    """
    data = DataConfig.model_validate_json(custom_config["data"])
    outputs: dict[str, tf.Tensor | tf.SparseTensor] = {}
    for feature in data.features:
        column = inputs[feature.column]
        match feature:
            case CategoricalFeature() | MultivalentFeature():
                ids = _term_ids(column, feature)
                single = isinstance(feature, CategoricalFeature)
                outputs[feature.name] = _at_most_one(ids, 0) if single else ids
            case BucketFeature():
                outputs[feature.name] = _at_most_one(_bucket_ids(column, feature), 0)
            case DenseFeature():
                present = tf.sparse.map_values(tf.ones_like, column)
                outputs[feature.name] = _at_most_one(_number(column, feature), 0.0)
                outputs[missing_key(feature)] = 1.0 - _at_most_one(present, 0.0)
    tasks = {task.name: task for task in data.tasks}
    for task in data.tasks:
        label, weight = _label(inputs, task)
        if task.trained_where is not None:
            condition, known = _label(inputs, tasks[task.trained_where])
            weight *= condition * known
        outputs[task.label_key], outputs[task.weight_key] = label, weight
    return outputs


def vocabulary_name(feature_name: str) -> str:
    """The name under which Transform keeps the vocabulary of a feature."""
    return f"vocabulary_{feature_name}"


def _at_most_one(values: tf.SparseTensor, default: int | float) -> tf.Tensor:
    """(B,) from a sparse (B, at most 1); `default` where there is none."""
    shape = tf.stack([values.dense_shape[0], tf.ones([], tf.int64)])
    one_wide = tf.SparseTensor(values.indices, values.values, shape)
    return tf.reshape(tf.sparse.to_dense(one_wide, default), [-1])


def _term_ids(
    column: tf.SparseTensor, feature: CategoricalFeature | MultivalentFeature
) -> tf.SparseTensor:
    vocabulary = feature.vocabulary
    if vocabulary is None:
        ids = tft.hash_strings(column, feature.hash_buckets)
    else:
        ids = tft.compute_and_apply_vocabulary(
            column,
            top_k=vocabulary.max_size,
            frequency_threshold=vocabulary.min_count if vocabulary.min_count > 1 else None,
            num_oov_buckets=vocabulary.oov_buckets,
            vocab_filename=vocabulary_name(feature.name),
        )
    return tf.sparse.map_values(lambda values: values + 1, ids)


def _bucket_ids(column: tf.SparseTensor, feature: BucketFeature) -> tf.SparseTensor:
    if feature.boundaries is not None:
        boundaries = tf.constant([feature.boundaries], tf.float32)
    else:
        boundaries = tft.quantiles(column.values, feature.num_quantiles, epsilon=0.001)
    ids = tft.apply_buckets(column, boundaries)
    return tf.sparse.map_values(lambda values: tf.cast(values, tf.int64) + 1, ids)


def _number(column: tf.SparseTensor, feature: DenseFeature) -> tf.SparseTensor:
    match feature.transform:
        case "none":
            return column
        case "quantile":
            boundaries = tft.quantiles(column.values, 100, epsilon=0.001)
            return tf.sparse.map_values(tft.apply_buckets_with_interpolation, column, boundaries)
        case "log1p":
            column = tf.sparse.map_values(lambda x: tf.sign(x) * tf.math.log1p(tf.abs(x)), column)
    return tft.scale_to_z_score(column)


def _label(inputs: Mapping[str, tf.SparseTensor], task: Task) -> tuple[tf.Tensor, tf.Tensor]:
    """The label (B,) and whether it is known (B,), both float32."""
    column = inputs[task.label.column]
    value = _at_most_one(column, 0.0)
    known = _at_most_one(tf.sparse.map_values(tf.ones_like, column), 0.0)
    if task.label.at_least is not None:
        value = tf.cast(value >= task.label.at_least, tf.float32)
    if task.label.transform == "log1p":
        value = tf.math.log1p(tf.maximum(value, 0.0))
    return value * known, known
