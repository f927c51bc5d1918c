"""One trial: trained on train, stopped by validation, measured on the split that is asked for."""

import gc
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import tensorflow_transform as tft
import tf_keras as keras

from taskroute.models.describe import describe
from taskroute.models.distribution import distributed
from taskroute.models.export import ServedRanker
from taskroute.pipeline.experiments.trials.held_out import HeldOutRows, score_of
from taskroute.pipeline.experiments.trials.shared_data import SharedData
from taskroute.pipeline.experiments.trials.training import train
from taskroute.pipeline.experiments.tune.trials import Trial, TrialResult
from taskroute.schemas.recommender import RecommenderConfig


class Trainer:
    """Runs trials in this process, one after another.

    Args:
        config: Of the search: its tasks are what is measured.
        data: Shared by all trials.
        num_rows: Of the train split.
        checkpoints: Folder of trainings, by the trial's key: of one that was killed, to go on from;
            of a finalist, to measure again.
        logs: Folder of TensorBoard's files, by trial and seed.
    """

    def __init__(
        self,
        config: RecommenderConfig,
        data: SharedData,
        num_rows: int,
        checkpoints: Path,
        logs: Path,
    ):
        self._config, self._data, self._num_rows = config, data, num_rows
        self._checkpoints, self._logs = checkpoints, logs
        self._held_out: dict[str, HeldOutRows] = {}

    def measure(
        self, trial: Trial, split: Literal["validation", "test"], *, keep: bool = False
    ) -> TrialResult:
        """The result of a trial; its `seconds` are for the caller to count.

        Args:
            trial: What is trained, or taken from its checkpoint where it has been trained.
            split: Whose rows it is measured on.
            keep: Whether its checkpoint stays.
        """
        keras.backend.clear_session()
        gc.collect()
        with distributed(trial.config.training):
            result = self._measure(trial, split)
        if not keep:
            shutil.rmtree(self._checkpoints / trial.key, ignore_errors=True)
        return result

    def keep_only(self, keys: Collection[str]) -> None:
        """Removes the checkpoints of all other trials."""
        for folder in self._checkpoints.glob("*"):
            if folder.name not in keys:
                shutil.rmtree(folder)

    def _measure(self, trial: Trial, split: str) -> TrialResult:
        logs = self._logs / f"trial-{trial.number:02}-seed-{trial.seed}"
        checkpoint = self._checkpoints / trial.key
        if not checkpoint.exists():
            shutil.rmtree(logs, ignore_errors=True)  # of another search
        trained = train(trial.config, self._data, self._config.serving, checkpoint, logs)
        transform = tft.TFTransformOutput(str(self._data.transform_graph))
        served = ServedRanker(trained.ranker, transform, trial.config, self._config.serving)
        if split not in self._held_out:
            self._held_out[split] = HeldOutRows(self._config, self._data, split)
        held_out = self._held_out[split].measure(score_of(served))
        parts = {part.part: part for part in describe(trained.ranker)}
        wrong = held_out.num_invalid
        return TrialResult(
            key=trial.key,
            seed=trial.seed,
            values=dict(trial.values),
            epochs=trained.epochs,
            best_epoch=trained.best_epoch,
            examples=trained.epochs * self._num_rows,
            parameters=parts["total"].parameters,
            metrics=held_out.metrics,
            problem=f"{wrong:,} predictions are no numbers that the tasks allow" if wrong else "",
        )
