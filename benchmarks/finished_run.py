"""Trains rankers on the outputs of a finished run, for scripts that compare them."""

import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from harness import DEMO

from rich.console import Console

from taskroute.components.logs import spans
from taskroute.models import training
from taskroute.models.dataset import make_dataset
from taskroute.models.ranker import MultiTaskRanker
from taskroute.pipeline.experiments.session import prepare
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.pipeline.run.lock import locked
from taskroute.pipeline.run.paths import RunPaths, absolute_source
from taskroute.pipeline.run.run import log_fingerprint
from taskroute.pipeline.sample_log.sample_files import write_sample_log
from taskroute.pipeline.sample_log.sample_log import SampleLogSpec, make_sample_log
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig, load_config


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
        started = time.perf_counter()
        trial = training.train(config, data.training)
        seconds = time.perf_counter() - started
    test = make_dataset(data.files("test"), config, batch_size=4096)
    metrics = trial.ranker.evaluate(test, verbose=0, return_dict=True)
    return Trained(trial.ranker, trial.epochs, seconds, metrics)


def finished_run(root: Path, rows: int) -> SharedData:
    """Examples of the last run under a root.

    Args:
        root: Pipeline root; without a run, the demo's stages up to Transform are run there.
        rows: Rows of the demo's log.
    """
    transform = root / "artifacts" / "Transform"
    if not transform.exists():
        write_sample_log(make_sample_log(SampleLogSpec(num_rows=rows)), root / "demo.parquet")
        return transformed(load_config(DEMO), root, root)
    return SharedData(
        transform_graph=newest(transform / "transform_graph"),
        transformed=newest(transform / "transformed_examples"),
        raw=newest(root / "artifacts" / "LogExampleGen" / "examples"),
    )


def transformed(config: RecommenderConfig, data: Path, root: Path) -> SharedData:
    """Runs the stages up to Transform under `root`; those that are finished are reused."""
    source = spans.resolve(absolute_source(config, data))
    paths = RunPaths(root.resolve(), config.name)
    paths.root.mkdir(parents=True, exist_ok=True)
    with redirect_stdout(sys.stderr), locked(paths.lock):
        console = Console(file=sys.stderr)
        return prepare(config, source, log_fingerprint(source), paths, console)[0]


def newest(folder: Path) -> Path:
    """Artifact of the last execution that wrote into a stage's folder."""
    return max(folder.iterdir(), key=lambda path: int(path.name))
