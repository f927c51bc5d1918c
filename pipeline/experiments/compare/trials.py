"""Trials of a comparison: one trunk with one seed each."""

from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.pipeline.experiments.trial import Cost, Trial, TrialResult
from taskroute.schemas.recommender import RecommenderConfig


class TrunkResult(TrialResult):
    """Result of a trial on the test split; each task has metrics of all kinds."""

    trunk: str
    cost: Cost
    num_rarer: dict[str, int] = Field(
        {}, description="Test rows of a binary task's rarer label, of a regression all, by task."
    )
    num_invalid: int = Field(0, description="Predictions that no task allows, such as NaN.")


def trainer(
    config: RecommenderConfig, data: SharedData, folder: Path, first_seed: int
) -> Callable[[Trial], TrunkResult]:
    """Makes the function that runs a trial.

    Args:
        config: Config of the comparison.
        data: Rows of all trials.
        folder: Folder that gets `models`: the exported model of each trunk, by the trial's key.
        first_seed: Seed whose trials are exported: one model for each trunk.
    """
    from taskroute.pipeline.experiments.compare.latency import write_model
    from taskroute.pipeline.experiments.worker import Worker

    worker = Worker(config, data, folder / "training")

    def train(trial: Trial) -> TrunkResult:
        model = folder / "models" / trial.key
        measured = worker.measure(
            trial,
            "test",
            export=(lambda served: write_model(served, config, data, model))
            if trial.seed == first_seed
            else None,
        )
        worker.keep_only(())  # what is left is of trials that nobody goes on with
        return TrunkResult(key=trial.key, seed=trial.seed, trunk=trial.name, **vars(measured))

    return train
