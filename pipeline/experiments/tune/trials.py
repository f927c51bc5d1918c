"""Trials of a search: settings trained with one seed, kept as they end, within a budget."""

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from taskroute.pipeline.experiments.trials.trial_file import KeyedResult, TrialFile
from taskroute.schemas.recommender import ModelConfig

# The number of the config as it is, among trials.
OWN = 1


@dataclass(frozen=True)
class Trial:
    """What is to be trained; `key` changes with all that decides its result."""

    number: int
    seed: int
    values: Mapping[str, Any]
    config: ModelConfig
    key: str


class TrialResult(KeyedResult):
    """What a training came to: one line of `trials.jsonl`."""

    seed: int
    values: dict[str, Any]
    epochs: int = 0
    best_epoch: int = Field(0, description="By validation loss; its weights were measured.")
    examples: int = Field(0, description="Rows of train that it read, those of every epoch.")
    seconds: float = 0.0
    parameters: int = Field(0, description="Trained scalars, those of the tables included.")
    metrics: dict[str, dict[str, float | None]] = Field(
        {}, description="By task; null where a metric is undefined."
    )
    problem: str = Field("", description="Why it came to nothing, if it did.")


class BudgetSpentError(Exception):
    """A training was not begun: it would have gone beyond a budget."""

    def __init__(self, budget: str):
        super().__init__(budget)
        self.budget = budget


class Bench:
    """Runs trials, each once.

    Args:
        file: Results of before; gains those of now.
        train: Runs one.
        max_examples: Rows that all trainings together may read; None: any number.
        ends_at: On `clock`: a training that would end later is not begun. None: no end.
        clock: Seconds.

    Attributes:
        examples: Rows read so far, by all trainings that were asked for.
    """

    def __init__(
        self,
        file: TrialFile[TrialResult],
        train: Callable[[Trial], TrialResult],
        *,
        max_examples: int | None = None,
        ends_at: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._file, self._train, self._clock = file, train, clock
        self._max_examples, self._ends_at = max_examples, ends_at
        self._done: dict[str, TrialResult] = {}

    def result(self, trial: Trial, reserved: int = 0) -> tuple[TrialResult, bool]:
        """What a trial comes to, and whether it was known before.

        A training that fails is a result, too; but if it is the config as it is, nothing can be
        tuned.

        Args:
            trial: To run, if it has not been run.
            reserved: Trainings for which the examples must still suffice after it.

        Raises:
            BudgetSpentError: If it was not begun.
        """
        found = self._done.get(trial.key) or self._file.find(trial.key)
        if found is not None:
            self._done[trial.key] = found
            return found, True
        self._check_budget(reserved)
        started = self._clock()
        try:
            found = self._train(trial)
        except Exception as error:
            if trial.number == OWN:
                raise
            traceback.print_exc()  # into the log
            first = (str(error).strip().splitlines() or [""])[0]
            found = TrialResult(
                key=trial.key,
                seed=trial.seed,
                values=dict(trial.values),
                problem=f"{type(error).__name__}: {first}",
            )
        found = found.model_copy(update={"seconds": round(self._clock() - started, 3)})
        self._file.add(found)
        self._done[trial.key] = found
        return found, False

    @property
    def examples(self) -> int:
        return sum(result.examples for result in self._done.values())

    @property
    def seconds(self) -> float:
        """What a training takes, going by the mean of those that came to something."""
        known = [result.seconds for result in self._done.values() if not result.problem]
        return sum(known) / len(known) if known else 0.0

    def _check_budget(self, reserved: int) -> None:
        """By the longest training so far: nobody knows when the next one stops."""
        known = self._done.values()
        longest = max((result.examples for result in known), default=0)
        wanted = self.examples + (1 + reserved) * longest
        if self._max_examples is not None and wanted > self._max_examples:
            raise BudgetSpentError("examples")
        seconds = max((result.seconds for result in known), default=0.0)
        if self._ends_at is not None and self._clock() + seconds > self._ends_at:
            raise BudgetSpentError("minutes")
