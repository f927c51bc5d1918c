"""Transformed examples in batches, as the ranker reads them."""

from collections.abc import Sequence

import tensorflow as tf

from taskroute.models.transformed_files import read_batches
from taskroute.schemas.features import DenseFeature, MultivalentFeature, missing_key
from taskroute.schemas.recommender import DataConfig


def feature_spec(data: DataConfig) -> dict[str, tf.io.FixedLenFeature | tf.io.RaggedFeature]:
    """How the transformed features of `data` are parsed."""
    spec: dict[str, tf.io.FixedLenFeature | tf.io.RaggedFeature] = {}
    for feature in data.features:
        match feature:
            case MultivalentFeature():
                spec[feature.name] = tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)
            case DenseFeature():
                spec[feature.name] = tf.io.FixedLenFeature([], tf.float32)
                spec[missing_key(feature)] = tf.io.FixedLenFeature([], tf.float32)
            case _:
                spec[feature.name] = tf.io.FixedLenFeature([], tf.int64)
    return spec


def labels_spec(data: DataConfig) -> dict[str, tf.io.FixedLenFeature]:
    """How the labels and weights of `data` are parsed."""
    keys = [key for task in data.tasks for key in (task.label_key, task.weight_key)]
    return {key: tf.io.FixedLenFeature([], tf.float32) for key in keys}


def make_dataset(
    patterns: Sequence[str], data: DataConfig, *, batch_size: int, shuffle_seed: int | None = None
) -> tf.data.Dataset:
    """Batches of features, labels and weights by key.

    Args:
        patterns: File patterns of FeatureTransform's Parquet files.
        data: What they hold.
        batch_size: Rows in a batch; the last one may be smaller.
        shuffle_seed: Shuffles files and rows anew in each epoch, repeatably; None keeps the order.

    Returns:
        A dataset of one pass.
    """
    files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))
    spec = {**feature_spec(data), **labels_spec(data)}
    dataset = read_batches(files, spec, batch_size=batch_size, shuffle_seed=shuffle_seed)
    return dataset.prefetch(tf.data.AUTOTUNE)
