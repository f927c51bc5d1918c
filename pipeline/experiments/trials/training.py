"""Trains rankers on shared data as the pipeline's Trainer does."""

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras

from taskroute.models.calibration import fit_calibrations
from taskroute.models.dataset import make_dataset
from taskroute.models.fitting import fit, validation_batch_size
from taskroute.models.interactions import build_interaction
from taskroute.models.layers.embedding import FeatureEmbedding
from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.training import build_ranker, finish_heads, num_ids
from taskroute.pipeline.experiments.trials.shared_data import SharedData
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.serving import Serving

_BASE_RATE_BATCHES = 50


@dataclass(frozen=True)
class Trained:
    """A ranker with its best epoch's weights, which validation alone has chosen."""

    ranker: MultiTaskRanker
    epochs: int
    best_epoch: int
    seconds: float


def train(
    config: ModelConfig,
    data: SharedData,
    serving: Serving | None = None,
    checkpoint_folder: Path | None = None,
    log_folder: Path | None = None,
) -> Trained:
    """Trains on train rows and stops on validation rows.

    Args:
        config: Its seed decides the start, the order of the rows and the noise.
        data: Test rows are not read.
        serving: Which tasks are calibrated, on validation rows; none by default.
        checkpoint_folder: Of this training alone; resumed from if it holds anything.
        log_folder: Of TensorBoard's files; none are left by default.
    """
    started = time.perf_counter()
    keras.utils.set_random_seed(config.training.seed)
    training = config.training

    def rows(epoch: int) -> tf.data.Dataset:
        return make_dataset(
            data.files("train"),
            config,
            batch_size=training.batch_size,
            shuffle_seed=training.seed + epoch,
            negative_sampling=training.negative_sampling,
        )

    validation = make_dataset(
        data.files("validation"), config, batch_size=validation_batch_size(training)
    )
    ranker = build_ranker(config, ids(config, data), rows(0))
    with ExitStack() as stack:
        logs = str(log_folder or stack.enter_context(tempfile.TemporaryDirectory()))
        checkpoint = str(checkpoint_folder) if checkpoint_folder else None
        history = fit(ranker, rows, validation, training, logs, checkpoint)
    finish_heads(ranker, rows(0).take(_BASE_RATE_BATCHES))
    fit_calibrations(ranker, validation, (serving or Serving()).calibration)
    losses = history["val_loss"]
    best_epoch = losses.index(min(losses)) + 1
    return Trained(ranker, len(losses), best_epoch, time.perf_counter() - started)


def ids(config: ModelConfig, data: SharedData) -> dict[str, int]:
    """Number of ids of each feature that has any, by name."""
    return num_ids(config, tft.TFTransformOutput(str(data.transform_graph)))


def input_width(config: ModelConfig, data: SharedData) -> int:
    """Width of what a trunk reads."""
    embedding = FeatureEmbedding(config.features, ids(config, data), config.tables)
    return build_interaction(config.interaction, embedding).output_width(embedding.output_width)
