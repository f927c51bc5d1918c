"""Summary of the trials: means and spreads by task, paired differences, findings in words."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from statistics import fmean

from pydantic import Field

from taskroute.pipeline.experiments.cells import SHARE_DECIMALS, decimals, spread
from taskroute.pipeline.experiments.compare.candidates import REFERENCES, SINGLE_TASK
from taskroute.pipeline.experiments.compare.trials import TrunkResult
from taskroute.pipeline.experiments.differences import NO_DIFFERENCE, Against, against, corrected
from taskroute.pipeline.experiments.session import ExperimentRecord
from taskroute.pipeline.experiments.trial import Cost
from taskroute.schemas.base import Config
from taskroute.schemas.evaluation import BETTER
from taskroute.schemas.tasks import Task

# With fewer rows of the rarer label a metric moves in steps, and seeds may agree by chance.
MIN_RARER = 20

LABELS = {"auc": "AUC", "gauc": "GAUC", "mae": "MAE"}


class Measured(Config):
    """One metric of one task of one trunk on the test split."""

    task: str
    metric: str
    trunk: str
    mean: float | None
    std: float | None = Field(description="Between seeds; null with fewer than two.")
    by_seed: dict[int, float | None]
    against: tuple[Against, ...] = ()


class TrunkCost(Config):
    """Cost of a trunk: means over its seeds where these differ."""

    trunk: str
    num_seeds: int
    epochs: float
    trunk_parameters: float
    parameters: float
    macs: float
    served_parameters: float
    served_macs: float
    latency_ms: float | None = Field(description="Median of a request of `latency_rows` rows.")
    seconds: float = Field(description="Seconds of a trial.")


class Comparison(ExperimentRecord):
    """Content of `compare.json`."""

    FILE = "compare.json"

    match: str
    seeds: tuple[int, ...]
    latency_rows: int
    measured: tuple[Measured, ...]
    costs: tuple[TrunkCost, ...]
    num_tests: int
    missing: dict[str, list[int]] = Field(description="Seeds for which the budget had no room.")
    trunks: dict[str, dict[str, object]] = Field(description="Their configs, as trained.")


def metrics_of(task: Task, *, has_key: bool) -> tuple[str, ...]:
    """Metrics by which a task is compared."""
    if task.kind == "regression":
        return ("mae",)
    return ("auc", "gauc") if has_key else ("auc",)


def measured(
    results: Sequence[TrunkResult],
    trunks: Sequence[str],
    tasks: Sequence[Task],
    *,
    has_key: bool,
    confidence: float,
) -> tuple[Measured, ...]:
    """Means, spreads and paired tests: by task, then metric, then trunk."""
    rows = []
    too_few = few_rows(results)
    for task in tasks:
        for metric in metrics_of(task, has_key=has_key):
            by_trunk = {
                trunk: {
                    result.seed: result.metrics[task.name][metric]
                    for result in results
                    if result.trunk == trunk
                }
                for trunk in trunks
            }
            for trunk, by_seed in by_trunk.items():
                references = [] if task.name in too_few else _references(trunk, trunks)
                tests = [
                    against(reference, by_seed, by_trunk[reference], BETTER[metric], confidence)
                    for reference in references
                ]
                rows.append(_row(task.name, metric, trunk, by_seed, tests))
    adjusted = iter(corrected([test for row in rows for test in row.against], confidence))
    return tuple(
        row.model_copy(update={"against": tuple(next(adjusted) for _ in row.against)})
        for row in rows
    )


def few_rows(results: Sequence[TrunkResult]) -> dict[str, int]:
    """Tasks with too few test rows to be tested, and how many of the rarer label they have."""
    counts = results[0].num_rarer if results else {}
    return {task: count for task, count in counts.items() if count < MIN_RARER}


def diverged(results: Sequence[TrunkResult]) -> tuple[str, ...]:
    """Trials whose predictions are no numbers, or no probabilities, in sentences."""
    return tuple(
        f"{result.trunk}, seed {result.seed}: {result.num_invalid:,} predictions are no numbers or "
        "no probabilities; what they leave undefined is left out"
        for result in results
        if result.num_invalid
    )


def _references(trunk: str, trunks: Sequence[str]) -> list[str]:
    """References to test a trunk against; a pair of references is tested once."""
    others = REFERENCES[: REFERENCES.index(trunk)] if trunk in REFERENCES else REFERENCES
    return [reference for reference in others if reference in trunks]


def _row(
    task: str,
    metric: str,
    trunk: str,
    by_seed: Mapping[int, float | None],
    tests: Sequence[Against | None],
) -> Measured:
    values = [value for value in by_seed.values() if value is not None]
    return Measured(
        task=task,
        metric=metric,
        trunk=trunk,
        mean=fmean(values) if values else None,
        std=spread(by_seed.values()),
        by_seed=dict(by_seed),
        against=tuple(test for test in tests if test is not None),
    )


def costs(
    results: Sequence[TrunkResult], trunks: Sequence[str], latencies: Mapping[str, float]
) -> tuple[TrunkCost, ...]:
    """Costs of every trunk with a trial."""
    rows = []
    for trunk in trunks:
        matches = [result for result in results if result.trunk == trunk]
        if not matches:
            continue
        means = {
            name: fmean(getattr(result.cost, name) for result in matches)
            for name in Cost.model_fields
        }
        rows.append(
            TrunkCost(
                trunk=trunk,
                num_seeds=len(matches),
                epochs=fmean(result.epochs for result in matches),
                seconds=fmean(result.seconds for result in matches),
                latency_ms=latencies.get(trunk),
                **means,
            )
        )
    return tuple(rows)


def findings(
    rows: Sequence[Measured], few: Mapping[str, int], confidence: float
) -> tuple[str, ...]:
    """Findings of the tests in sentences: negative transfer, other differences, and none.

    Args:
        rows: Result of `measured`.
        few: Result of `few_rows`.
        confidence: Confidence level of the intervals.
    """
    transfer: list[str] = []
    differing: list[str] = []
    alike: list[str] = []
    for task, block in groupby(rows, key=lambda row: row.task):
        tested = [(row, test) for row in block for test in row.against]
        for row, test in tested:
            sentence = _sentence(row, test, confidence)
            if test.verdict == NO_DIFFERENCE:
                continue
            if test.reference == SINGLE_TASK and test.verdict == "worse":
                transfer.append(f"negative transfer: {sentence}")
            else:
                differing.append(sentence)
        if tested:
            alike += _no_difference(task, tested)
        elif task in few:
            alike.append(
                f"{task}: too few test rows of its rarer label ({few[task]}) to tell trunks apart"
            )
    return (*transfer, *differing, *alike)


def _no_difference(task: str, tested: Sequence[tuple[Measured, Against]]) -> Iterator[str]:
    metrics = list(dict.fromkeys(row.metric for row, _ in tested))
    references = list(dict.fromkeys(test.reference for _, test in tested))
    if all(test.verdict == NO_DIFFERENCE for _, test in tested):
        labels = " and ".join(LABELS[metric] for metric in metrics)
        yield f"{task}: no trunk is shown to differ in {labels} from {' or '.join(references)}"
        return
    for metric in metrics:
        for reference in references:
            against = [
                (row.trunk, test.verdict)
                for row, test in tested
                if (row.metric, test.reference) == (metric, reference)
            ]
            same = [trunk for trunk, verdict in against if verdict == NO_DIFFERENCE]
            if same:
                who = "no trunk" if len(same) == len(against) else ", ".join(same)
                shown = "is shown" if who == "no trunk" else "not shown"
                yield f"{task}: {who} {shown} to differ in {LABELS[metric]} from {reference}"


def _sentence(row: Measured, test: Against, confidence: float) -> str:
    digits = decimals(abs(test.difference), 2)
    if row.metric != "mae":
        digits = max(digits, SHARE_DECIMALS)
    gap, low, high = (
        f"{size:.{digits}f}"
        for size in (abs(test.difference), *sorted((abs(test.low), abs(test.high))))
    )
    side = "above" if test.difference > 0 else "below"
    holds = "holds" if test.holds else "does not hold"
    return (
        f"{row.task}: {row.trunk} is {test.verdict} than {test.reference}, its "
        f"{LABELS[row.metric]} {gap} {side} ({confidence:.0%} interval {low} to {high}); "
        f"{holds} after Holm's correction"
    )
