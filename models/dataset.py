"""Transformed examples from TFRecord files, in batches."""

from collections.abc import Iterable, Sequence

import tensorflow as tf

from taskroute.schemas.features import DenseFeature, MultivalentFeature, missing_key
from taskroute.schemas.recommender import DataConfig

# Parsing costs per call more than per row: 8,192 rows a call was twice as fast as 512.
_PARSE_BATCH = 8192
_SHUFFLE_ROWS = 100_000


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
        patterns: File patterns of TFRecords of transformed examples.
        data: What they hold.
        batch_size: Rows in a batch; the last one may be smaller.
        shuffle_seed: Shuffles files and rows anew in each epoch, repeatably; None keeps the order.

    Returns:
        A dataset of one pass.
    """
    files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))
    dataset = tf.data.Dataset.from_tensor_slices(files)
    if shuffle_seed is not None:
        dataset = dataset.shuffle(len(files), seed=shuffle_seed)
    dataset = dataset.interleave(
        lambda path: tf.data.TFRecordDataset(path, _compression(files), buffer_size=1 << 20),
        cycle_length=min(8, len(files)),
        block_length=64,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    if shuffle_seed is not None:
        dataset = dataset.shuffle(_SHUFFLE_ROWS, seed=shuffle_seed)
    spec = {**feature_spec(data), **labels_spec(data)}
    return (
        dataset.batch(_PARSE_BATCH)
        .map(
            lambda rows: tf.io.parse_example(rows, spec),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .rebatch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def _compression(files: Iterable[str]) -> str:
    return "GZIP" if all(path.endswith(".gz") for path in files) else ""
