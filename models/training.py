"""Training recipe: from transformed examples to a trained and calibrated ranker.

Trainer and the trials of experiments train by `train`; a search for an architecture starts its
supernet by `new_ranker`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras

from taskroute.models.calibration import fit_calibrations
from taskroute.models.dataset import make_dataset
from taskroute.models.fitting import fit, validation_batch_size
from taskroute.models.oov import OovDrop, fill_missing_rows, missing_rows, oov_ids
from taskroute.models.ranker import MultiTaskRanker, make_optimizer
from taskroute.models.warm_start import Ids, WarmStarted, transform_ids, warm_start
from taskroute.schemas.analysis import vocabulary_name
from taskroute.schemas.features import BucketFeature, DenseFeature, IdFeature, ids_owner
from taskroute.schemas.recommender import DataConfig, ModelConfig
from taskroute.schemas.serving import Calibration
from taskroute.schemas.training_record import TaskCalibration

_BASE_RATE_BATCHES = 50


@dataclass(frozen=True)
class TrainingData:
    """Transformed examples that a training reads.

    Attributes:
        transform_graph: Output of TFX Transform.
        train_files: File patterns of the rows that are fitted.
        validation_files: File patterns of the rows that stop the training and calibrate.
    """

    transform_graph: str
    train_files: Sequence[str]
    validation_files: Sequence[str]

    def ids(self, config: DataConfig) -> Ids:
        """Ids of the features, and their meaning."""
        transform = tft.TFTransformOutput(self.transform_graph)
        return transform_ids(config, num_ids(config, transform), transform)

    def train(self, config: ModelConfig, ids: Ids, epoch: int) -> tf.data.Dataset:
        """One pass over the train rows in the order of an epoch, from 0, with its ids dropped."""
        return make_dataset(
            self.train_files,
            config,
            batch_size=config.training.batch_size,
            shuffle_seed=config.training.seed + epoch,
            negative_sampling=config.training.negative_sampling,
            change_ids=OovDrop(config.training.oov_rate, oov_ids(config, ids.number)),
        )

    def validation(self, config: ModelConfig, batch_size: int) -> tf.data.Dataset:
        """One pass over the validation rows, always in the same order."""
        return make_dataset(self.validation_files, config, batch_size=batch_size)


@dataclass(frozen=True)
class Trained:
    """A ranker with its best epoch's weights, which validation alone has chosen.

    Attributes:
        ranker: Calibrated and not compacted.
        ids: Ids of its features.
        warm_started: Counts of what was taken over from an older model, if there was one.
        history: Curves by name, a value an epoch.
        calibration: Corrections by task, as `fit_calibrations` gives them.
    """

    ranker: MultiTaskRanker
    ids: Ids
    warm_started: WarmStarted | None
    history: dict[str, list[float]]
    calibration: dict[str, TaskCalibration]

    @property
    def epochs(self) -> int:
        return len(self.history["val_loss"])

    @property
    def best_epoch(self) -> int:
        """Best epoch, from 1."""
        losses = self.history["val_loss"]
        return losses.index(min(losses)) + 1


def train(
    config: ModelConfig,
    data: TrainingData,
    calibration: Calibration | None = None,
    *,
    warm_start_from: str | None = None,
    checkpoint: str | None = None,
    log_dir: str | None = None,
) -> Trained:
    """Trains on train rows, and stops and calibrates on validation rows.

    Args:
        config: The model; its seed decides the start, the order of the rows and the noise.
        data: Examples of both splits.
        calibration: Method of each task; the default one of a config by default.
        warm_start_from: Folder of an older model's weights, to go on from.
        checkpoint: Folder of this training alone; resumed from if it holds anything.
        log_dir: Folder of TensorBoard's files; none are left by default.
    """
    ids = data.ids(config)
    epochs = partial(data.train, config, ids)
    ranker = new_ranker(config, ids.number, epochs(0))
    oov = oov_ids(config, ids.number) if config.training.oov_rate else {}
    untrained = missing_rows(ranker, oov)
    warm_started = warm_start(ranker, config, ids, warm_start_from)
    validation = data.validation(config, validation_batch_size(config.training))
    history = fit(ranker, epochs, validation, config.training, log_dir, checkpoint)
    fill_missing_rows(ranker, oov, untrained)
    finish_heads(ranker, epochs(0).take(_BASE_RATE_BATCHES))
    calibrations = fit_calibrations(ranker, validation, calibration or Calibration())
    return Trained(ranker, ids, warm_started, history, calibrations)


def new_ranker(
    config: ModelConfig, ids: Mapping[str, int], dataset: tf.data.Dataset
) -> MultiTaskRanker:
    """Makes a ranker of which every weight follows from the config's seed and the rows."""
    keras.utils.set_random_seed(config.training.seed)
    return build_ranker(config, ids, dataset)


def num_ids(data: DataConfig, transform: tft.TFTransformOutput) -> dict[str, int]:
    """Number of ids of each feature that has any: missing, terms or buckets, OOV.

    A feature that shares another's ids has as many as the other.
    """
    sizes = {}
    for feature in data.features:
        match feature:
            case DenseFeature():
                continue
            case BucketFeature():
                terms = feature.num_buckets
            case _:
                terms = _num_terms(ids_owner(feature, data.features), transform)
        sizes[feature.name] = terms + 1
    return sizes


def _num_terms(feature: IdFeature, transform: tft.TFTransformOutput) -> int:
    if feature.vocabulary is None or feature.num_hashed_ids is not None:
        return feature.num_hashed_ids or 0
    terms: int = transform.vocabulary_size_by_name(vocabulary_name(feature.name))
    return terms + feature.vocabulary.oov_buckets


def build_ranker(
    config: ModelConfig, ids: Mapping[str, int], dataset: tf.data.Dataset
) -> MultiTaskRanker:
    """Makes the ranker, its weights and its optimizer; `dataset` gives the shapes."""
    ranker = MultiTaskRanker(config, ids)
    ranker(next(iter(dataset.take(1))))
    start_heads_at_base_rates(ranker, dataset.take(_BASE_RATE_BATCHES))
    ranker.compile(optimizer=make_optimizer(ranker, config))
    return ranker


def start_heads_at_base_rates(ranker: MultiTaskRanker, dataset: tf.data.Dataset) -> None:
    """Sets each head to the best constant for its task's labels, such as their rate as a logit.

    Training then does not spend its first epochs, and its embeddings, on finding the base rates.
    The losses there are the scale by which the balancer and the trunk's penalties go.
    """
    columns: dict[str, list[np.ndarray]] = {}
    for batch in dataset:
        for task in ranker.tasks:
            for key in (task.label_key, task.weight_key):
                columns.setdefault(key, []).append(batch[key].numpy().astype(np.float64))
    rows = {key: np.concatenate(parts) for key, parts in columns.items()}
    losses = {}
    for task in ranker.tasks:
        labels, weights = rows[task.label_key], rows[task.weight_key]
        losses[task.name] = ranker.heads[task.name].start(labels, weights)
        if task.funnel is not None:
            # The head's own logit is about the rows where the task before has happened.
            happened = rows[f"label/{task.funnel}"] * (rows[f"weight/{task.funnel}"] > 0)
            ranker.heads[task.name].start(labels, weights * happened)
    ranker.balancer.start(losses)
    factors = ranker.balancer.task_weights().numpy()
    scale = sum(
        float(factor) * task.loss_weight * losses[task.name]
        for factor, task in zip(factors, ranker.tasks, strict=True)
    )
    ranker.trunk.set_loss_scale(max(scale, 1e-6))


def finish_heads(ranker: MultiTaskRanker, dataset: tf.data.Dataset) -> None:
    """Shows the trained heads their own outputs for train rows, for constants found only then."""
    tasks = [task for task in ranker.tasks if task.smearing]
    if not tasks:
        return
    parts: dict[str, list[tuple[tf.Tensor, ...]]] = {task.name: [] for task in tasks}
    for batch in dataset:
        logits = ranker(batch, training=False)
        for task in tasks:
            shown = (logits[task.name], batch[task.label_key], batch[task.weight_key])
            parts[task.name].append(shown)
    for name, batches in parts.items():
        columns = (tf.concat(column, axis=0) for column in zip(*batches, strict=True))
        ranker.heads[name].finish(*columns)
