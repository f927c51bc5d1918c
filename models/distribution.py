"""Distribution of training: one device, all GPUs of a machine, or the workers of a cluster.

The config's batch size is that of all replicas together. Every worker reads all rows, in the same
order, and keeps its share of each batch: a step sees the same rows as on one device. Reading is the
smaller part of the work.
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
    """Enters the scope of the config's strategy, with its precision.

    `mirrored` uses every visible GPU, or the CPU. `multi_worker` reads `TF_CONFIG` and
    waits for the other workers; TensorFlow must not have run an op before.

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


def share_batches(dataset: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Splits the batches of a dataset between the replicas.

    Args:
        dataset: Batches of `batch_size` rows, the same in every worker.
        batch_size: Multiple of the number of replicas.
    """
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return dataset

    def worker_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        first, step = context.input_pipeline_id, context.num_input_pipelines

        def share(batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return {name: values[first::step] for name, values in batch.items()}

        return dataset.map(share).rebatch(batch_size // replicas)

    return strategy.distribute_datasets_from_function(worker_dataset)


def replica_mean(value: tf.Tensor) -> tf.Tensor:
    """Mean of a scalar over the replicas."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, value)


def is_chief() -> bool:
    """Whether this process writes the results; call it within the strategy's scope."""
    resolver = tf.distribute.get_strategy().cluster_resolver
    if resolver is None or not resolver.cluster_spec().as_dict():
        return True
    if "chief" in resolver.cluster_spec().as_dict():
        return bool(resolver.task_type == "chief")
    return bool(resolver.task_id == 0)


def own_folder(folder: str) -> str:
    """Folder that this process writes to: `folder` for the chief, else a temporary one.

    All workers save together, since a value may be a mean over them.
    """
    return folder if is_chief() else f"{_temporary_folder().name}/{folder.strip('/')}"


@functools.cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Temporary folder that is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="taskroute-worker-")
