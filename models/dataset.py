"""Batches of transformed examples for the ranker."""

from collections.abc import Sequence

import tensorflow as tf

from taskroute.models.transformed_files import ChangeIds, read_batches
from taskroute.schemas.features import DenseFeature, ListFeature, missing_key
from taskroute.schemas.recommender import DataConfig
from taskroute.schemas.training import NegativeSampling

# Negative sampling drops most of them before they are batched.
_SAMPLED_ROWS = 8192
_PREFETCHED = 4


def feature_spec(data: DataConfig) -> dict[str, tf.io.FixedLenFeature | tf.io.RaggedFeature]:
    """Parsing spec of the transformed features of `data`."""
    spec: dict[str, tf.io.FixedLenFeature | tf.io.RaggedFeature] = {}
    for feature in data.features:
        match feature:
            case ListFeature():
                spec[feature.name] = tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)
            case DenseFeature():
                spec[feature.name] = tf.io.FixedLenFeature([], tf.float32)
                spec[missing_key(feature)] = tf.io.FixedLenFeature([], tf.float32)
            case _:
                spec[feature.name] = tf.io.FixedLenFeature([], tf.int64)
    return spec


def label_spec(data: DataConfig) -> dict[str, tf.io.FixedLenFeature]:
    """Parsing spec of the labels and weights of `data`."""
    keys = [key for task in data.tasks for key in (task.label_key, task.weight_key)]
    return {key: tf.io.FixedLenFeature([], tf.float32) for key in keys}


def make_dataset(
    patterns: Sequence[str],
    data: DataConfig,
    *,
    batch_size: int,
    shuffle_seed: int | None = None,
    negative_sampling: NegativeSampling | None = None,
    change_ids: ChangeIds | None = None,
) -> tf.data.Dataset:
    """Makes batches of features, labels and weights by key.

    Args:
        patterns: File patterns of Transform's Parquet files.
        data: Config of their columns.
        batch_size: Rows in a batch; the last one may be smaller.
        shuffle_seed: Shuffles files and rows anew in each epoch, repeatably; None keeps the order.
        negative_sampling: Leaves out negative rows of a task, drawn anew in each epoch, repeatably.
            Rows that stay get a larger weight in all other tasks, so that their losses keep their
            expectation. A task that is `trained_where` the sampled one is has no such rows.
        change_ids: Changes the ids of a feature, such as an `OovDrop`.

    Returns:
        A dataset of one pass.
    """
    files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))
    spec = {**feature_spec(data), **label_spec(data)}
    size = batch_size if negative_sampling is None else max(batch_size, _SAMPLED_ROWS)
    dataset = read_batches(
        files, spec, batch_size=size, shuffle_seed=shuffle_seed, change_ids=change_ids
    )
    if negative_sampling is not None:
        dataset = _sample_negatives(dataset, data, negative_sampling, shuffle_seed or 0)
        dataset = dataset.rebatch(batch_size)
    # Autotuning has a thread that sleeps for 10 ms, 20 ms and so on, and the end of a pass may wait
    # for it as long as the pass took. Nothing here gains by tuning.
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(_PREFETCHED).with_options(options)


def _sample_negatives(
    dataset: tf.data.Dataset, data: DataConfig, sampling: NegativeSampling, seed: int
) -> tf.data.Dataset:
    (sampled,) = (task for task in data.tasks if task.name == sampling.task)
    others = [task.weight_key for task in data.tasks if task is not sampled]
    seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)

    def sample(batch: dict[str, tf.Tensor], number: tf.Tensor) -> dict[str, tf.Tensor]:
        labels, weights = batch[sampled.label_key], batch[sampled.weight_key]
        is_negative = (weights > 0) & (labels == 0)
        draws = tf.random.stateless_uniform(tf.shape(labels), tf.stack([number, seed]))
        kept = tf.where(~is_negative | (draws < sampling.keep))[:, 0]
        factors = tf.where(is_negative, 1 / sampling.keep, 1.0)
        reweighted = {key: batch[key] * factors for key in others}
        return {name: tf.gather(values, kept) for name, values in {**batch, **reweighted}.items()}

    return tf.data.Dataset.zip((dataset, seeds)).map(
        sample, num_parallel_calls=2, deterministic=True
    )
