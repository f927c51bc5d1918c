"""Bench of an experiment: runs each trial once, keeps its result, stays within a budget."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from statistics import fmean
from typing import Generic, TypeVar

from taskroute.pipeline.experiments.trial import Trial, TrialResult
from taskroute.pipeline.experiments.trial_file import TrialFile

TrialT = TypeVar("TrialT", bound=Trial)
ResultT = TypeVar("ResultT", bound=TrialResult)


class BudgetSpentError(Exception):
    """Training refused because it would exceed the budget that the message names."""


class Bench(Generic[TrialT, ResultT]):
    """Runs trials.

    Args:
        file: Results of earlier calls; gains those of this one.
        train: Runs one trial.
        max_examples: Rows that all trainings together may read; None: any number.
        ends_at: Deadline on `clock`: no training begins that would end later, by the longest so far
            of its name, or of any name where it is the first. None: no deadline.
        clock: Seconds.
    """

    def __init__(
        self,
        file: TrialFile[ResultT],
        train: Callable[[TrialT], ResultT],
        *,
        max_examples: int | None = None,
        ends_at: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._file, self._train, self._clock = file, train, clock
        self._max_examples, self._ends_at = max_examples, ends_at
        self._done: dict[str, tuple[str, ResultT]] = {}

    def find(self, trial: TrialT) -> ResultT | None:
        """Result of a finished trial of this call or an earlier one, if there is any."""
        result = self._file.find(trial.key)
        if result is not None:
            self._done[trial.key] = trial.name, result
        return result

    def result(self, trial: TrialT, reserved: int = 0) -> tuple[ResultT, bool]:
        """Result of a trial, and whether it was known before.

        Args:
            trial: Run if it has not been run.
            reserved: Trainings for which the examples must still suffice after it.

        Raises:
            BudgetSpentError: If it was not begun.
        """
        known = self.find(trial)
        if known is not None:
            return known, True
        self._check_budget(trial.name, reserved)
        started = self._clock()
        result = self._train(trial)
        result = result.model_copy(update={"seconds": round(self._clock() - started, 3)})
        self._file.add(result)
        self._done[trial.key] = trial.name, result
        return result, False

    def run_all(
        self, trials: Sequence[TrialT], on_finish: Callable[[ResultT, int, float], None]
    ) -> list[ResultT]:
        """Runs all trials in order, or as many as the budget allows.

        Args:
            trials: Trials to run.
            on_finish: Called after each that was run, with the number of those that have ended and
                the seconds that the others will take.

        Returns:
            Results in the order of the trials, without those that were not begun.
        """
        # All that is known says from the start how long the others take.
        waiting = [trial for trial in trials if self.find(trial) is None]
        with suppress(BudgetSpentError):
            while waiting:
                result, _ = self.result(waiting.pop(0))
                left = sum(self.mean_seconds(trial.name) for trial in waiting)
                on_finish(result, len(trials) - len(waiting), left)
        results = map(self.find, trials)
        return [result for result in results if result is not None]

    @property
    def examples(self) -> int:
        """Number of rows read so far by all trainings."""
        return sum(result.examples for _, result in self._done.values())

    def mean_seconds(self, name: str = "") -> float:
        """Mean seconds of the successful trainings of a name, else of all."""
        seconds = self._seconds(name, lambda result: not result.problem)
        return fmean(seconds) if seconds else 0.0

    def _seconds(self, name: str, counts: Callable[[ResultT], bool]) -> list[float]:
        known = [(of_name, each.seconds) for of_name, each in self._done.values() if counts(each)]
        return [x for of_name, x in known if of_name == name] or [x for _, x in known]

    def _check_budget(self, name: str, reserved: int) -> None:
        """Refuses by the longest training so far: nobody knows when the next one stops."""
        longest = max((result.examples for _, result in self._done.values()), default=0)
        wanted = self.examples + (1 + reserved) * longest
        if self._max_examples is not None and wanted > self._max_examples:
            raise BudgetSpentError("examples")
        seconds = max(self._seconds(name, lambda _: True), default=0.0)
        if self._ends_at is not None and self._clock() + seconds > self._ends_at:
            raise BudgetSpentError("minutes")
