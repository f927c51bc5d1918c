"""Finals: the best trials with further seeds, since one seed's best is partly luck."""

from collections.abc import Callable, Mapping, Sequence

from pydantic import Field

from taskroute.pipeline.experiments.bench import Bench, BudgetSpentError
from taskroute.pipeline.experiments.cells import spread
from taskroute.pipeline.experiments.differences import Against, against, corrected
from taskroute.pipeline.experiments.tune.judging import Metrics, broken, mean, mean_metrics, score
from taskroute.pipeline.experiments.tune.search import Search, SearchTrial
from taskroute.pipeline.experiments.tune.trials import OWN, OWN_NAME, TuneResult, TuneTrial
from taskroute.schemas.base import Config
from taskroute.schemas.evaluation import Bound


class Final(Config):
    """A trial over further seeds."""

    number: int = Field(description="Number of the trial.")
    results: dict[int, TuneResult] = Field(description="Results by seed.")
    scores: dict[int, float | None] = Field(
        description="Scores of the objective; null without one."
    )
    mean: float | None = Field(description="Mean of the scores; null if one is missing.")
    std: float | None = Field(description="Between seeds; null with fewer than two.")
    against_own: Against | None = Field(
        description="Its scores less those of the config as it is, corrected for all finalists; "
        "null for that itself, and where there are too few seeds."
    )
    against_it: tuple[str, ...] = Field(description="Reasons that rule it out.")

    @property
    def metrics(self) -> dict[int, Metrics]:
        """Metrics by seed."""
        return {seed: result.metrics for seed, result in self.results.items()}


def finalists(trials: Sequence[SearchTrial], count: int) -> list[SearchTrial]:
    """Best trials that may be chosen, without the config as it is."""
    allowed = [each for each in trials if each.number != OWN and not each.against_it]
    return sorted(allowed, key=lambda each: -(each.score or 0.0))[:count]


def run_finals(
    search: Search,
    bench: Bench[TuneTrial, TuneResult],
    entries: Sequence[SearchTrial],
    seeds: Sequence[int],
    on_result: Callable[[TuneTrial, TuneResult, bool], None],
) -> tuple[dict[int, dict[int, TuneResult]], str | None]:
    """Trains all entries with one seed, then with the next: only whole rounds count.

    Args:
        search: Makes the trials.
        bench: Runs them.
        entries: The config as it is, then the finalists.
        seeds: Further seeds.
        on_result: Called after each training, with whether it was known before.

    Returns:
        Results of whole rounds by number and seed, and the budget that was spent, if any.
    """
    by_number: dict[int, dict[int, TuneResult]] = {each.number: {} for each in entries}
    for seed in seeds:
        results = {}
        for each in entries:
            trial = search.trial(each.number, each.values, seed)
            try:
                result, reused = bench.result(trial)
            except BudgetSpentError as spent:
                return by_number, str(spent)
            results[each.number] = result
            on_result(trial, result, reused)
        for number, result in results.items():
            by_number[number][seed] = result
    return by_number, None


def judge(
    search: Search,
    results: Mapping[int, Mapping[int, TuneResult]],
    constraints: Sequence[Bound],
    confidence: float,
) -> list[Final]:
    """Tests every finalist against the config as it is, corrected for their number.

    Args:
        search: Search with the aims.
        results: Results of `run_finals`.
        constraints: Constraints that the means over all seeds must keep.
        confidence: Confidence level of the intervals.
    """
    scores = {
        number: {seed: score(each.metrics, search.aims) for seed, each in by_seed.items()}
        for number, by_seed in results.items()
    }
    tests = {
        number: against(OWN_NAME, by_seed, scores[OWN], 1, confidence)
        for number, by_seed in scores.items()
        if number != OWN
    }
    known = {number: test for number, test in tests.items() if test is not None}
    holding = dict(zip(known, corrected([*known.values()], confidence), strict=True))
    own = mean_metrics([each.metrics for each in results[OWN].values()])
    finals = []
    for number, by_seed in results.items():
        reasons = [
            f"seed {seed}: {result.problem}" for seed, result in by_seed.items() if result.problem
        ]
        means = mean_metrics([result.metrics for result in by_seed.values()])
        finals.append(
            Final(
                number=number,
                results=dict(by_seed),
                scores=scores[number],
                mean=mean(scores[number].values()),
                std=spread(scores[number].values()),
                against_own=holding.get(number),
                against_it=tuple(reasons or broken(means, own, constraints)),
            )
        )
    return finals


def choose(finals: Sequence[Final]) -> Final | None:
    """Finalist of the best mean among those that keep the constraints, if any does."""
    allowed = [each for each in finals if not each.against_it and each.mean is not None]
    return max(allowed, key=lambda each: each.mean or 0.0, default=None)
