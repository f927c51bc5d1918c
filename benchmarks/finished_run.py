"""Trains rankers on what a finished run left under its root, for scripts that compare them."""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from harness import taskroute

from taskroute.models.dataset import make_dataset
from taskroute.models.ranker import MultiTaskRanker
from taskroute.pipeline.experiments.trials import training
from taskroute.pipeline.experiments.trials.shared_data import SharedData
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


def train(config: ModelConfig, data: SharedData) -> Trained:
    """Trains as the pipeline does: on train, stopping on validation; measures on test."""
    with redirect_stdout(sys.stderr):
        trial = training.train(config, data)
    test = make_dataset(data.files("test"), config, batch_size=4096)
    metrics = trial.ranker.evaluate(test, verbose=0, return_dict=True)
    return Trained(trial.ranker, trial.epochs, trial.seconds, metrics)


def finished_run(root: Path, rows: int = 200_000) -> SharedData:
    """Examples of the last run under a root.

    Args:
        root: Pipeline root; without a run, the demo's is made there.
        rows: Rows of the demo's log.
    """
    if not (root / "last_run.json").exists():
        taskroute("demo", "--rows", rows, "--root", root)
    transform = root / "artifacts" / "Transform"
    return SharedData(
        transform_graph=newest(transform / "transform_graph"),
        transformed=newest(transform / "transformed_examples"),
        raw=newest(root / "artifacts" / "LogExampleGen" / "examples"),
    )


def newest(folder: Path) -> Path:
    """Artifact of the last execution that wrote into a stage's folder."""
    return max(folder.iterdir(), key=lambda path: int(path.name))
