"""One trial: trained on train, stopped by validation, measured on test; the first seed exported."""

import gc
import os
import shutil
from pathlib import Path

import tensorflow_transform as tft
import tf_keras as keras

from taskroute.models.describe import describe
from taskroute.models.distribution import distributed
from taskroute.models.export import ServedRanker
from taskroute.pipeline.experiments.compare.latency import write_model
from taskroute.pipeline.experiments.compare.trials import Cost, Trial, TrialResult
from taskroute.pipeline.experiments.trials.held_out import HeldOutRows, score_of
from taskroute.pipeline.experiments.trials.shared_data import SharedData
from taskroute.pipeline.experiments.trials.training import train
from taskroute.schemas.recommender import RecommenderConfig


class Trainer:
    """Runs trials in this process, one after another.

    Args:
        config: Of the comparison.
        data: Shared by all trials.
        models: Folder of what is exported, by the trial's key.
        checkpoints: Folder of a training that was killed, by the trial's key, to go on from.
        first_seed: A trial of it is exported, so that every trunk is once.
    """

    def __init__(
        self,
        config: RecommenderConfig,
        data: SharedData,
        models: Path,
        checkpoints: Path,
        *,
        first_seed: int,
    ):
        self._config, self._data, self._first_seed = config, data, first_seed
        self._models, self._checkpoints = models, checkpoints
        self._held_out: HeldOutRows | None = None

    def train(self, trial: Trial) -> TrialResult:
        """The result of a trial; its `seconds` are for the caller to count."""
        keras.backend.clear_session()
        gc.collect()
        with distributed(trial.config.training):
            return self._train(trial, self._checkpoints / trial.key)

    def _train(self, trial: Trial, checkpoint: Path) -> TrialResult:
        trained = train(trial.config, self._data, self._config.serving, checkpoint)
        transform = tft.TFTransformOutput(str(self._data.transform_graph))
        served = ServedRanker(trained.ranker, transform, trial.config, self._config.serving)
        self._held_out = self._held_out or HeldOutRows(self._config, self._data, "test")
        held_out = self._held_out.measure(score_of(served))
        if trial.seed == self._first_seed:
            self._export(served, trial)
        parts = {part.part: part for part in describe(trained.ranker)}
        served_total = describe(trained.ranker, served.trunk)[-1]
        shutil.rmtree(self._checkpoints, ignore_errors=True)
        return TrialResult(
            key=trial.key,
            trunk=trial.trunk,
            seed=trial.seed,
            epochs=trained.epochs,
            best_epoch=trained.best_epoch,
            cost=Cost(
                trunk_parameters=parts["trunk"].parameters,
                parameters=parts["total"].parameters,
                macs=parts["total"].macs,
                served_parameters=served_total.parameters,
                served_macs=served_total.macs,
            ),
            metrics=held_out.metrics,
            num_rarer=held_out.num_rarer,
            num_invalid=held_out.num_invalid,
        )

    def _export(self, served: ServedRanker, trial: Trial) -> None:
        """Whole or not at all."""
        beside = self._models / f"{trial.key}.tmp"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        write_model(served, self._config, self._data, beside)
        shutil.rmtree(self._models / trial.key, ignore_errors=True)
        os.replace(beside, self._models / trial.key)
