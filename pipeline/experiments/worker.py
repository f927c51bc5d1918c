"""Runs trials: a training on train and validation rows, and its metrics on rows of one split.

The key of a trial changes with all code that this module leads to: nothing is imported here that
does not decide a result.
"""

import gc
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import tensorflow_transform as tft
import tf_keras as keras

from taskroute.models.describe import describe
from taskroute.models.distribution import distributed
from taskroute.models.export import ServedRanker
from taskroute.models.training import train
from taskroute.pipeline.experiments.held_out import HeldOut, HeldOutRows
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.pipeline.experiments.trial import Cost, Trial
from taskroute.schemas.recommender import RecommenderConfig


@dataclass(frozen=True)
class Measured(HeldOut):
    """Figures of a trial: of its training and of held-out rows."""

    epochs: int
    best_epoch: int
    cost: Cost


class Worker:
    """Runs trials in this process, one after another.

    Args:
        config: Config of the experiment: its tasks are measured, as its `serving` serves them.
        data: Rows of all trials.
        checkpoints: Folder of trainings, by the trial's key: to go on from where one was killed, or
            to measure again.
    """

    def __init__(self, config: RecommenderConfig, data: SharedData, checkpoints: Path):
        self._config, self._data, self._checkpoints = config, data, checkpoints
        self._held_out: dict[str, HeldOutRows] = {}

    def measure(
        self,
        trial: Trial,
        split: str,
        *,
        keep: bool = False,
        log_dir: Path | None = None,
        export: Callable[[ServedRanker], None] | None = None,
    ) -> Measured:
        """Trains a trial, or takes it from its checkpoint, and measures it.

        Args:
            trial: Training to run.
            split: Split whose rows it is measured on.
            keep: Whether its checkpoint stays.
            log_dir: Folder of TensorBoard's files; none are left by default.
            export: Called with the ranker as it is served.
        """
        keras.backend.clear_session()
        gc.collect()
        checkpoint = self._checkpoints / trial.key
        if log_dir is not None and not checkpoint.exists():
            shutil.rmtree(log_dir, ignore_errors=True)  # of another training
        with distributed(trial.config.training):
            trained = train(
                trial.config,
                self._data.training,
                self._config.serving.calibration,
                checkpoint=str(checkpoint),
                log_dir=None if log_dir is None else str(log_dir),
            )
            transform = tft.TFTransformOutput(str(self._data.transform_graph))
            served = ServedRanker(trained.ranker, transform, trial.config, self._config.serving)
            if split not in self._held_out:
                self._held_out[split] = HeldOutRows(self._config, self._data, split)
            held_out = self._held_out[split].measure(served)
            if export is not None:
                export(served)
        if not keep:
            shutil.rmtree(checkpoint, ignore_errors=True)
        parts = {part.part: part for part in describe(trained.ranker)}
        served_total = describe(trained.ranker, served.trunk)[-1]
        cost = Cost(
            trunk_parameters=parts["trunk"].parameters,
            parameters=parts["total"].parameters,
            macs=parts["total"].macs,
            served_parameters=served_total.parameters,
            served_macs=served_total.macs,
        )
        return Measured(
            **vars(held_out), epochs=trained.epochs, best_epoch=trained.best_epoch, cost=cost
        )

    def keep_only(self, keys: Collection[str]) -> None:
        """Removes the checkpoints of all other trials."""
        for folder in self._checkpoints.glob("*"):
            if folder.name not in keys:
                shutil.rmtree(folder)
