"""Trials of a search: settings with one seed each."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from taskroute.pipeline.experiments.trial import Trial, TrialResult

if TYPE_CHECKING:
    from taskroute.pipeline.experiments.worker import Worker

# The number of the config as it is, among trials.
OWN = 1
OWN_NAME = "config"


@dataclass(frozen=True)
class TuneTrial(Trial):
    """A training of some settings.

    Attributes:
        number: Number of these settings, from 1: the config as it is.
        values: Values that differ from the config, by path.
    """

    number: int
    values: Mapping[str, Any]


class TuneResult(TrialResult):
    """Result of a trial on the split that it was measured on."""

    values: dict[str, Any]
    parameters: int = Field(0, description="Trained scalars, those of the tables included.")


def measure(
    worker: "Worker", trial: TuneTrial, split: str, *, keep: bool, logs: Path, num_rows: int
) -> TuneResult:
    """Runs a trial.

    Args:
        worker: Trains and measures.
        trial: Settings and seed.
        split: Split whose rows it is measured on.
        keep: Whether its checkpoint stays.
        logs: Folder of TensorBoard's files, by trial and seed.
        num_rows: Number of train rows.
    """
    log_dir = logs / f"trial-{trial.number:02}-seed-{trial.seed}"
    measured = worker.measure(trial, split, keep=keep, log_dir=log_dir)
    wrong = measured.num_invalid
    return TuneResult(
        key=trial.key,
        seed=trial.seed,
        values=dict(trial.values),
        epochs=measured.epochs,
        best_epoch=measured.best_epoch,
        examples=measured.epochs * num_rows,
        parameters=measured.cost.parameters,
        metrics=measured.metrics,
        problem=f"{wrong:,} predictions are no numbers that the tasks allow" if wrong else "",
    )


def keeping_failures(
    train: Callable[[TuneTrial], TuneResult],
) -> Callable[[TuneTrial], TuneResult]:
    """Turns a failed training into a result; the error of the config's own stays one."""

    def train_or_fail(trial: TuneTrial) -> TuneResult:
        try:
            return train(trial)
        except Exception as error:
            if trial.number == OWN:
                raise  # nothing can be tuned
            traceback.print_exc()  # into the log
            first = (str(error).strip().splitlines() or [""])[0]
            return TuneResult(
                key=trial.key,
                seed=trial.seed,
                values=dict(trial.values),
                problem=f"{type(error).__name__}: {first}",
            )

    return train_or_fail
