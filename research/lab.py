"""Parts that research scripts share: those of benchmarks/, and tables of means over seeds."""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from finished_run import Trained, finished_run, train, transformed
from harness import DEMO, REPOSITORY, in_turn, median_ms, median_ratio, options, report

import numpy as np

from taskroute.models.architecture_search import search_fn
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig, load_config
from taskroute.schemas.routes import SearchResult

__all__ = [
    "DEMO",
    "REPOSITORY",
    "Trained",
    "base_config",
    "finished_run",
    "in_turn",
    "mean_and_error",
    "median_ms",
    "median_ratio",
    "options",
    "report",
    "search",
    "train",
    "transformed",
]


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error, which is 0 for one value."""
    if len(values) < 2:
        return float(np.mean(values)), 0.0
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def base_config(path: str, smallest: bool) -> RecommenderConfig:
    """Config of the trainings, which have one epoch at the smallest size."""
    config = load_config(path)
    epochs = 1 if smallest else config.training.epochs
    training = config.training.model_copy(update={"epochs": epochs})
    return config.model_copy(update={"training": training})


def search(data: SharedData, config: ModelConfig, checkpoint: Path) -> SearchResult:
    """Searches a route for the mtnas trunk of `config` on train and validation rows."""
    result = search_fn(
        config=config.model_dump_json(),
        train_files=data.files("train"),
        validation_files=data.files("validation"),
        transform_graph_path=str(data.transform_graph),
        checkpoint=str(checkpoint),
    )
    return SearchResult.model_validate_json(result)
