"""Trains rankers on what a finished run left under its root, for benchmarks that compare them."""

import sys
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow_transform as tft
import tf_keras as keras

from taskroute.models.dataset import make_dataset
from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.trainer import build_ranker, fit, num_ids
from taskroute.schemas.recommender import ModelConfig


@dataclass(frozen=True)
class Trained:
    """A ranker with its best epoch's weights; `metrics` are of the test split."""

    ranker: MultiTaskRanker
    epochs: int
    seconds: float
    metrics: dict[str, float]

    @property
    def aucs(self) -> dict[str, float]:
        return {name: self.metrics[f"{name}_auc"] for name in self.ranker.task_aucs}


class FinishedRun:
    """The transformed examples of the last run under a root.

    Args:
        root: Of `taskroute run` or `taskroute demo`.
    """

    def __init__(self, root: Path):
        transform = root / "artifacts" / "Transform"
        self.transform_graph = _newest(transform / "transform_graph")
        self._examples = _newest(transform / "transformed_examples")
        self._raw_examples = _newest(root / "artifacts" / "LogExampleGen" / "examples")

    def files(self, split: str) -> list[str]:
        return [str(self._examples / f"Split-{split}" / "*")]

    def raw_files(self, split: str) -> list[str]:
        return [str(self._raw_examples / f"Split-{split}" / "*")]

    def train(self, config: ModelConfig) -> Trained:
        """Trains as the pipeline does: on train, stopping on validation; measures on test."""
        started = time.perf_counter()
        keras.utils.set_random_seed(config.training.seed)
        training = config.training

        def train(epoch: int) -> Any:
            seed = training.seed + epoch
            return self._read("train", config, training.batch_size, shuffle_seed=seed)

        ids = num_ids(config, tft.TFTransformOutput(str(self.transform_graph)))
        ranker = build_ranker(config, ids, train(0))
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
            history = fit(ranker, train, self._read("validation", config, 4096), training, folder)
        seconds = time.perf_counter() - started
        test = self._read("test", config, 4096)
        metrics = ranker.evaluate(test, verbose=0, return_dict=True)
        return Trained(ranker, len(history["val_loss"]), seconds, metrics)

    def _read(self, split: str, config: ModelConfig, batch_size: int, **arguments: int) -> Any:
        return make_dataset(self.files(split), config, batch_size=batch_size, **arguments)


def _newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: int(path.name))
