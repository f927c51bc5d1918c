"""Trials: one trunk trained with one seed. Each is kept as it ends; a budget says when to stop."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from taskroute.pipeline.experiments.trials.trial_file import KeyedResult, TrialFile
from taskroute.schemas.base import Config
from taskroute.schemas.recommender import ModelConfig


@dataclass(frozen=True)
class Trial:
    """What is to be trained; `key` changes with all that decides its result."""

    trunk: str
    seed: int
    config: ModelConfig
    key: str


class Cost(Config):
    """Trained scalars and multiply-accumulates of one row, as trained and as served."""

    trunk_parameters: int
    parameters: int
    macs: int
    served_parameters: int
    served_macs: int


class TrialResult(KeyedResult):
    """What a trial came to: one line of `trials.jsonl`."""

    trunk: str
    seed: int
    epochs: int
    best_epoch: int = Field(description="By validation loss; its weights were measured.")
    seconds: float = 0.0
    cost: Cost
    metrics: dict[str, dict[str, float | None]] = Field(
        description="Of the test split, by task; null where a metric is undefined."
    )
    num_rarer: dict[str, int] = Field(
        {}, description="Test rows of a binary task's rarer label, of a regression all, by task."
    )
    num_invalid: int = Field(0, description="Predictions that no task allows, such as NaN.")


@dataclass(frozen=True)
class Progress:
    """A trial has ended. `seconds_left` is what the rest will take, going by those that have."""

    result: TrialResult
    number: int
    total: int
    seconds_left: float


@dataclass(frozen=True)
class Outcome:
    """`missing` are the trials for which the budget had no room."""

    results: tuple[TrialResult, ...]
    missing: tuple[Trial, ...]


def run_trials(
    trials: Sequence[Trial],
    file: TrialFile[TrialResult],
    train: Callable[[Trial], TrialResult],
    on_finish: Callable[[Progress], None],
    *,
    ends_at: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Runs every trial that has not been run, in order.

    Args:
        trials: All that are wanted.
        file: Results of before; gains those of now.
        train: Runs one.
        on_finish: Called after each that was run.
        ends_at: On `clock`: a trial that would end later, going by the longest of its trunk so far,
            or of any trunk where it is the first, is not begun, nor is any after it. None: no end.
        clock: Seconds.
    """
    found = {trial.key: file.find(trial.key) for trial in trials}
    done = {key: result for key, result in found.items() if result is not None}
    for index, trial in enumerate(trials):
        if trial.key in done:
            continue
        started = clock()
        longest = _expected(trial, done.values(), max)
        if ends_at is not None and started + longest > ends_at:
            break
        result = train(trial)
        result = result.model_copy(update={"seconds": round(clock() - started, 3)})
        file.add(result)
        done[trial.key] = result
        waiting = [other for other in trials[index + 1 :] if other.key not in done]
        left = sum(_expected(other, done.values(), _mean) for other in waiting)
        on_finish(Progress(result, len(done), len(trials), left))
    return Outcome(
        results=tuple(done[trial.key] for trial in trials if trial.key in done),
        missing=tuple(trial for trial in trials if trial.key not in done),
    )


def _expected(
    trial: Trial, done: Iterable[TrialResult], of: Callable[[Sequence[float]], float]
) -> float:
    """Seconds of a trial, from those of its trunk, else from all; 0 where nothing is known."""
    done = list(done)
    seconds = [result.seconds for result in done if result.trunk == trial.trunk]
    seconds = seconds or [result.seconds for result in done]
    return of(seconds) if seconds else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def missing_seeds(missing: Sequence[Trial]) -> Mapping[str, list[int]]:
    """The seeds that each trunk lacks."""
    seeds: dict[str, list[int]] = {}
    for trial in missing:
        seeds.setdefault(trial.trunk, []).append(trial.seed)
    return seeds
