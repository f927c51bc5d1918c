"""Trains rankers on what a finished run left under its root, for benchmarks that compare them."""

import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from taskroute.models.dataset import make_dataset
from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.training import train
from taskroute.pipeline.experiments.shared_data import SharedData
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


class FinishedRun(SharedData):
    """The transformed examples of the last run under a root.

    Args:
        root: Of `taskroute run` or `taskroute demo`.
    """

    def __init__(self, root: Path):
        transform = root / "artifacts" / "Transform"
        super().__init__(
            transform_graph=_newest(transform / "transform_graph"),
            transformed=_newest(transform / "transformed_examples"),
            raw=_newest(root / "artifacts" / "LogExampleGen" / "examples"),
        )

    def train(self, config: ModelConfig) -> Trained:
        """Trains as the pipeline does: on train, stopping on validation; measures on test."""
        started = time.perf_counter()
        with redirect_stdout(sys.stderr):
            found = train(config, self.training)
        seconds = time.perf_counter() - started
        test = make_dataset(self.files("test"), config, batch_size=4096)
        metrics = found.ranker.evaluate(test, verbose=0, return_dict=True)
        return Trained(found.ranker, found.epochs, seconds, metrics)


def _newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: int(path.name))
