"""Loop over epochs: fit, validate, save, stop."""

import contextlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import tensorflow as tf
import tf_keras as keras

from taskroute.models.checkpoint import Checkpoints
from taskroute.models.distribution import share_batches
from taskroute.models.divergence import describe_divergence, diverged_tasks
from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.step_loop import StepLoop, step_loop
from taskroute.models.training_log import TrainingLog
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import Training

_LOG = logging.getLogger(__name__)

# From the number of an epoch, from 0, to one pass over the rows in that epoch's order.
Epochs = Callable[[int], tf.data.Dataset]


@dataclass
class Progress:
    """Position of a training; with the variables, all that it needs to go on.

    Attributes:
        epochs: Number of finished ones; the order of an epoch's rows follows from its number.
        best_epoch: The one with the lowest validation loss so far, from 1; 0 before there is any.
        history: Curves by name, a value an epoch.
    """

    epochs: int = 0
    best_epoch: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)

    def add_epoch(self, values: dict[str, float]) -> None:
        """Counts an epoch; `values` hold its `val_loss`."""
        best = self.history["val_loss"][self.best_epoch - 1] if self.best_epoch else float("inf")
        for name, value in values.items():
            self.history.setdefault(name, []).append(float(value))
        self.epochs += 1
        if self.history["val_loss"][-1] < best:
            self.best_epoch = self.epochs


def fit(
    ranker: MultiTaskRanker,
    train: Epochs,
    validation: tf.data.Dataset,
    training: Training,
    log_dir: str | None = None,
    checkpoint_folder: str | None = None,
) -> dict[str, list[float]]:
    """Trains until the validation loss stops falling and keeps the best epoch's weights.

    A training that was killed goes on after its last whole epoch, and comes to what it would have
    come to: the order of the rows, the noise of gates and dropped units follow from what is saved.

    Args:
        ranker: Built and compiled.
        train: Rows in the order of an epoch, `batch_size` in a batch.
        validation: Rows that decide which epoch was best, `validation_batch_size` in a batch.
        training: Number of epochs, and the patience.
        log_dir: Folder of TensorBoard's files; a temporary one by default.
        checkpoint_folder: Folder of this training alone, resumed from if it holds anything; a
            temporary one by default.

    Returns:
        Curves by name, a value an epoch. A training ends before an epoch with a loss that is no
        number, and keeps the best epoch before it.

    Raises:
        DataError: If the first epoch has such a loss.
    """
    with contextlib.ExitStack() as stack:
        log_dir, checkpoint_folder = (
            folder or stack.enter_context(tempfile.TemporaryDirectory())
            for folder in (log_dir, checkpoint_folder)
        )
        checkpoints = Checkpoints(ranker, checkpoint_folder)
        progress = Progress(**(checkpoints.read() or {}))
        if progress.epochs:
            checkpoints.load(_name(progress.epochs))
        log = stack.enter_context(TrainingLog(log_dir, progress.history))
        seen = share_batches(validation, validation_batch_size(training))
        steps = step_loop(ranker.train_step), step_loop(ranker.test_step)
        diverged = False
        while progress.epochs < training.epochs and not _is_over(progress, training):
            epoch = progress.epochs
            rows = share_batches(train(epoch), training.batch_size)
            logs = _one_epoch(ranker, steps, (rows, seen), epoch)
            tasks = diverged_tasks(ranker.tasks, logs)
            if tasks:
                sentence = describe_divergence(tasks, epoch + 1, (train(epoch), validation))
                if not progress.best_epoch:
                    raise DataError(sentence)
                _LOG.warning("%s; the weights of epoch %d are kept", sentence, progress.best_epoch)
                diverged = True
                break
            logs |= ranker.end_epoch(logs)
            log.write(epoch, logs)
            progress.add_epoch(logs | log.write_routes(epoch, ranker.trunk))
            best = _name(progress.best_epoch)
            checkpoints.save(_name(progress.epochs), asdict(progress), keep=[best])
        if diverged or progress.best_epoch not in (0, progress.epochs):
            checkpoints.load(_name(progress.best_epoch))
    return progress.history


def validation_batch_size(training: Training) -> int:
    """Rows of a batch of validation: large ones are faster."""
    return training.batch_size * max(1, 4096 // training.batch_size)


def _is_over(progress: Progress, training: Training) -> bool:
    return progress.epochs - progress.best_epoch >= training.patience


def _one_epoch(
    ranker: MultiTaskRanker,
    steps: tuple[StepLoop, StepLoop],
    rows: tuple[Iterable[Any], Iterable[Any]],
    epoch: int,
) -> dict[str, float]:
    """Trains and validates once; means by name, those of validation with `val_`."""
    start = time.perf_counter()
    logs = _pass(steps[0], rows[0], ranker.train_metrics)
    seconds = time.perf_counter() - start
    measured = _pass(steps[1], rows[1], ranker.test_metrics)
    logs |= {f"val_{name}": value for name, value in measured.items()}
    values = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
    _LOG.info("epoch %d, %.1f s: %s", epoch + 1, seconds, values)
    return logs


def _pass(
    all_steps: StepLoop, rows: Iterable[Any], metrics: Sequence[keras.metrics.Metric]
) -> dict[str, float]:
    """Processes all rows and returns their metrics by name."""
    for metric in metrics:
        metric.reset_state()
    all_steps(iter(rows))
    return {metric.name: float(metric.result()) for metric in metrics}


def _name(epoch: int) -> str:
    return f"epoch-{epoch}"
