"""Search: the config as it is, then proposals from the results so far."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, ValidationError

from taskroute.pipeline.experiments.bench import Bench, BudgetSpentError
from taskroute.pipeline.experiments.keys import trial_key
from taskroute.pipeline.experiments.tune.judging import aims_of, broken, score
from taskroute.pipeline.experiments.tune.proposals import propose
from taskroute.pipeline.experiments.tune.space import Point, point_of, space_of, values_of
from taskroute.pipeline.experiments.tune.trials import OWN, OWN_NAME, TuneResult, TuneTrial
from taskroute.schemas.base import Config
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig
from taskroute.schemas.tuning import Tuning, with_values

EXHAUSTED = "space"


class SearchTrial(Config):
    """A trial of the search with its result."""

    number: int = Field(description="From 1, which is the config as it is.")
    values: dict[str, Any] = Field(description="Values that differ from it, by path.")
    result: TuneResult | None = Field(description="Null where these are impossible together.")
    score: float | None = Field(description="Score of the objective; null where it has none.")
    against_it: tuple[str, ...] = Field(
        description="Reasons that rule it out: a problem, or each constraint that it breaks."
    )


@dataclass(frozen=True)
class Searched:
    """Trials in order, and the cause of an end before the number of trials, if any."""

    trials: tuple[SearchTrial, ...]
    ended_by: str | None = None


class Search:
    """Makes trials of a config and judges them.

    Args:
        config: Config to tune.
        tuning: Its tuning section.
        digests: Digests of the log and the code.
        bench: Runs the trials.
    """

    def __init__(
        self,
        config: RecommenderConfig,
        tuning: Tuning,
        digests: Mapping[str, str],
        bench: Bench[TuneTrial, TuneResult],
    ):
        self._config, self._tuning = config, tuning
        self._digests, self._bench = digests, bench
        self._model = config.part(ModelConfig)
        self.aims = aims_of(tuning.objective, config.tasks)

    def trial(self, number: int, values: Mapping[str, Any], seed: int | None = None) -> TuneTrial:
        """Makes the trial of these values, with the config's own seed by default.

        Raises:
            ValidationError: If the values are impossible together.
        """
        seed = self._config.training.seed if seed is None else seed
        model = with_values(self._model, {**values, "training.seed": seed})
        name = OWN_NAME if number == OWN else f"trial {number}"
        key = trial_key(model, self._config, self._digests)
        return TuneTrial(name, seed, model, key, number, values)

    def run(self, on_trial: Callable[[SearchTrial, bool], None], num_finals: int) -> Searched:
        """Runs the configured number of trials, or as many as the budget allows.

        Args:
            on_trial: Called after each trial, with whether it was known before.
            num_finals: Trainings that come after the search, for which examples are kept back.
        """
        space = space_of(self._model, self._tuning)
        trials: list[SearchTrial] = []
        points: list[Point | None] = []
        point = point_of(self._model, space)
        values: dict[str, Any] = {}
        while True:
            try:
                trial, reused = self._try(len(trials) + 1, values, trials, num_finals)
            except BudgetSpentError as spent:
                return Searched(tuple(trials), str(spent))
            trials.append(trial)
            if trials[0].score is None:
                reasons = "; ".join(trials[0].against_it)
                raise DataError(
                    f"the config as it is cannot be judged: {reasons}; give `source.split` more "
                    "validation rows, or `tuning.objective` other metrics"
                )
            points.append(point)
            on_trial(trial, reused)
            if len(trials) == self._tuning.trials:
                return Searched(tuple(trials))
            point = propose(
                space,
                _known(points, trials),
                [each for each in points if each is not None],
                number=len(trials) + 1,
                seed=self._tuning.seed,
            )
            if point is None:
                return Searched(tuple(trials), EXHAUSTED)
            values = values_of(space, point)

    def _try(
        self, number: int, values: dict[str, Any], trials: Sequence[SearchTrial], num_finals: int
    ) -> tuple[SearchTrial, bool]:
        result: TuneResult | None = None
        value, reused = None, False
        try:
            trial = self.trial(number, values)
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            reasons: tuple[str, ...] = (f"impossible: {message}",)
        else:
            result, reused = self._bench.result(trial, num_finals)
            value = None if result.problem else score(result.metrics, self.aims)
            own = trials[0].result if trials else None
            reasons = self.reasons(result, own or result)
        return SearchTrial(
            number=number, values=values, result=result, score=value, against_it=reasons
        ), reused

    def reasons(self, result: TuneResult, own: TuneResult) -> tuple[str, ...]:
        """Reasons against choosing a trial, beside the result of the config as it is."""
        if result.problem:
            return (result.problem,)
        if score(result.metrics, self.aims) is None:
            return ("the objective is undefined",)
        return tuple(broken(result.metrics, own.metrics, self._tuning.constraints))


def _known(
    points: Sequence[Point | None], trials: Sequence[SearchTrial]
) -> list[tuple[Point, float]]:
    """Points and scores that the proposals learn from.

    A trial that breaks a constraint is no better than the worst that breaks none; where all break
    one, the objective alone leads on. A trial without a score is as bad as the worst of all.
    """
    scores = [each.score for each in trials if each.score is not None]
    ceiling = min(
        (each.score or 0.0 for each in trials if not each.against_it), default=max(scores)
    )
    known = []
    for point, each in zip(points, trials, strict=True):
        if point is not None:
            score = min(scores) if each.score is None else each.score
            known.append((point, min(score, ceiling) if each.against_it else score))
    return known
