"""Who trains: one device, all GPUs of a machine, or the workers of a cluster.

A batch of the config is the batch of all replicas together. Every worker reads all rows, in the
same order, and keeps its share of each batch: a step then sees the rows that it would see on one
device, none twice and none left out. Reading is the smaller part of the work.
"""

import functools
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import tensorflow as tf
import tf_keras as keras

from taskroute.schemas.errors import ConfigError
from taskroute.schemas.training import Training


@contextmanager
def distributed(training: Training) -> Iterator[tf.distribute.Strategy]:
    """The scope of the strategy, and the precision, that the config names.

    `mirrored` uses every GPU that is visible, or the CPU. `multi_worker` reads `TF_CONFIG` and
    waits for the other workers; TensorFlow must not have run anything before.

    Raises:
        ConfigError: If a batch cannot be shared out evenly.
    """
    match training.strategy:
        case "one":
            strategy = tf.distribute.get_strategy()
        case "mirrored":
            strategy = tf.distribute.MirroredStrategy()
        case "multi_worker":
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    if training.batch_size % strategy.num_replicas_in_sync:
        raise ConfigError(
            f"training.batch_size: {training.batch_size} rows cannot be shared out evenly to "
            f"{strategy.num_replicas_in_sync} replicas; give a multiple of that"
        )
    policy = keras.mixed_precision.global_policy()
    if training.mixed_precision:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    if training.xla:
        tf.config.optimizer.set_jit("autoclustering")
    try:
        with strategy.scope():
            yield strategy
    finally:
        keras.mixed_precision.set_global_policy(policy)
        if training.xla:
            tf.config.optimizer.set_jit("")


def shared_out(dataset: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """A dataset for `fit` whose batches are dealt out to the replicas.

    Args:
        dataset: Batches of `batch_size` rows, the same ones in every worker.
        batch_size: A multiple of the number of replicas.
    """
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return dataset

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        first, step = context.input_pipeline_id, context.num_input_pipelines

        def share(batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return {name: values[first::step] for name, values in batch.items()}

        return dataset.map(share).rebatch(batch_size // replicas)

    return strategy.distribute_datasets_from_function(of_worker)


def replica_mean(value: tf.Tensor) -> tf.Tensor:
    """The mean of a scalar over the replicas, in each of them."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, value)


def is_chief() -> bool:
    """Whether this process is the one that writes; to be asked within the strategy's scope."""
    resolver = tf.distribute.get_strategy().cluster_resolver
    if resolver is None or not resolver.cluster_spec().as_dict():
        return True
    if "chief" in resolver.cluster_spec().as_dict():
        return bool(resolver.task_type == "chief")
    return bool(resolver.task_id == 0)


def own_folder(folder: str) -> str:
    """Where this process writes what the chief writes to `folder`: elsewhere, unless it is it.

    All workers save together, since a value may be a mean over them.
    """
    return folder if is_chief() else f"{_temporary_folder().name}/{folder.strip('/')}"


@functools.cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="taskroute-worker-")
