"""Record of a search: `tune.json`, and its findings in words."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from pydantic import Field

from taskroute.pipeline.experiments.cells import SHARE_DECIMALS, decimals
from taskroute.pipeline.experiments.differences import NO_DIFFERENCE, Against, against, corrected
from taskroute.pipeline.experiments.session import ExperimentRecord
from taskroute.pipeline.experiments.tune.finals import Final
from taskroute.pipeline.experiments.tune.judging import Metrics, metric_of
from taskroute.pipeline.experiments.tune.search import EXHAUSTED, SearchTrial
from taskroute.pipeline.experiments.tune.trials import OWN, OWN_NAME
from taskroute.schemas.base import Config
from taskroute.schemas.evaluation import BETTER
from taskroute.schemas.tuning import Aim, Tuning

_COMMENT_WIDTH = 98


class MetricRecord(Config):
    """A metric of the chosen trial beside that of the config as it is, over further seeds."""

    split: str
    task: str
    metric: str
    own_by_seed: dict[int, float | None]
    chosen_by_seed: dict[int, float | None]
    against_own: Against | None = Field(
        description="Corrected for the metrics of its split; null where no direction is better."
    )


class TuneRecord(ExperimentRecord):
    """Content of `tune.json`."""

    FILE = "tune.json"

    objective: tuple[Aim, ...]
    tuning: Tuning
    own_values: dict[str, Any] = Field(description="Values of the config, by path.")
    tried: tuple[SearchTrial, ...]
    final_seeds: tuple[int, ...]
    finals: tuple[Final, ...]
    chosen: int | None = Field(description="1 is the config as it is; null: none, so far.")
    chosen_values: dict[str, Any] = {}
    metrics: tuple[MetricRecord, ...] = ()
    ended_by: str | None = Field(description="The budget that was spent, or an exhausted space.")
    examples: int


def metric_records(
    split: str,
    own: Mapping[int, Metrics],
    chosen: Mapping[int, Metrics],
    named: Sequence[tuple[str, str]],
    confidence: float,
) -> list[MetricRecord]:
    """Metrics of a split with their paired tests.

    Args:
        split: Split on which the metrics were measured.
        own: Metrics of the config as it is, by seed.
        chosen: Metrics of the chosen trial.
        named: Task and metric of each record.
        confidence: Confidence level of the intervals.
    """
    rows = []
    for task, metric in named:
        ours = {seed: metric_of(metrics, task, metric) for seed, metrics in chosen.items()}
        theirs = {seed: metric_of(metrics, task, metric) for seed, metrics in own.items()}
        # Of a rate or a calibration neither more nor less is better: there is nothing to test.
        better = BETTER.get(metric)
        test = against(OWN_NAME, ours, theirs, better, confidence) if better else None
        rows.append(
            MetricRecord(
                split=split,
                task=task,
                metric=metric,
                own_by_seed=theirs,
                chosen_by_seed=ours,
                against_own=test,
            )
        )
    tests = iter(corrected([row.against_own for row in rows if row.against_own], confidence))
    return [
        row.model_copy(update={"against_own": next(tests)}) if row.against_own else row
        for row in rows
    ]


def findings(
    finals: Sequence[Final],
    chosen: Final | None,
    metrics: Sequence[MetricRecord],
    search_scores: Mapping[int, float | None],
    ended_by: str | None,
    confidence: float,
) -> tuple[str, ...]:
    """Findings of the finals, in sentences.

    Args:
        finals: All finalists.
        chosen: Finalist with the best mean.
        metrics: Result of `metric_records`, for every split.
        search_scores: Scores with the one seed of the search, by number.
        ended_by: The budget that was spent, or an exhausted space, if any.
        confidence: Confidence level of the intervals.
    """
    if ended_by == "minutes":
        return ()
    if not finals:
        none_is_left = ended_by in (None, EXHAUSTED)
        return ("no trial beside the config may be chosen",) if none_is_left else ()
    reasons = "; ".join(
        f"{_name(final.number)}: {', '.join(final.against_it)}"
        for final in finals
        if final.against_it
    )
    if chosen is None:
        return (f"nothing can be chosen: over all seeds {reasons}",)
    if chosen.number == OWN:
        kept = "no finalist came to a better mean than the config as it is, which is kept"
        return (f"{kept}; may not be chosen: {reasons}" if reasons else kept,)
    own_is_out = [
        f"the config as it is may not be chosen: {', '.join(final.against_it)}"
        for final in finals
        if final.number == OWN and final.against_it
    ]
    num_tests = sum(final.against_own is not None for final in finals)
    return (
        *own_is_out,
        *_on_chosen(chosen, confidence, num_tests),
        *_on_luck(chosen, search_scores),
        *_on_metrics(chosen, metrics, confidence),
    )


def _on_chosen(chosen: Final, confidence: float, num_tests: int) -> Iterator[str]:
    name, test = _name(chosen.number), chosen.against_own
    if test is None:
        yield f"{name} has the best mean that may be chosen; nothing tells it from chance"
    elif test.verdict == NO_DIFFERENCE:
        yield (
            f"{name} has the best mean that may be chosen, but is not shown to differ from "
            f"the config as it is ({_interval(test, confidence)} over {test.num_seeds} seeds)"
        )
    else:
        holds = "holds" if test.holds else "does not hold"
        tests = f" for {num_tests} tests" if num_tests > 1 else ""
        yield (
            f"{name} is {test.verdict} than the config as it is: its objective "
            f"{_gap(test)} ({_interval(test, confidence)} over {test.num_seeds} seeds); {holds} "
            f"after Holm's correction{tests}"
        )


def _on_luck(chosen: Final, search_scores: Mapping[int, float | None]) -> Iterator[str]:
    """Compares the promise of the search with the finals."""
    before = search_scores.get(chosen.number)
    own = search_scores.get(OWN)
    test = chosen.against_own
    if before is None or own is None or test is None:
        return
    promised = before - own
    if promised > max(test.difference, 0.0):
        digits = max(SHARE_DECIMALS, decimals(abs(promised), 2))
        yield (
            f"with the one seed of the search it was {promised:.{digits}f} above: the best of many "
            "trials is partly luck"
        )


def _on_metrics(chosen: Final, metrics: Sequence[MetricRecord], confidence: float) -> Iterator[str]:
    for row in metrics:
        test = row.against_own
        if test is None or test.verdict == NO_DIFFERENCE:
            continue
        holds = "holds" if test.holds else "does not hold"
        yield (
            f"{row.split}: {row.task} {row.metric} is {test.verdict}, {_gap(test)} "
            f"({_interval(test, confidence)}); {holds} after Holm's correction"
        )


def _gap(test: Against) -> str:
    digits = max(SHARE_DECIMALS, decimals(abs(test.difference), 2))
    side = "above" if test.difference > 0 else "below"
    return f"{abs(test.difference):.{digits}f} {side}"


def _interval(test: Against, confidence: float) -> str:
    digits = max(SHARE_DECIMALS, decimals(abs(test.difference), 2))
    low, high = (f"{end:+.{digits}f}" for end in (test.low, test.high))
    return f"{confidence:.0%} interval {low} to {high}"


def _name(number: int) -> str:
    return "the config as it is" if number == OWN else f"trial {number}"


def objective(record: TuneRecord) -> str:
    """Objective in words."""
    aims = ", ".join(
        f"{aim.task} {aim.metric}" + ("" if aim.weight == 1 else f" x {aim.weight:g}")
        for aim in record.objective
    )
    return f"mean of {aims}"


def comments(record: TuneRecord, date: str) -> list[str]:
    """Comments at the head of `best.yaml`."""
    trials = f"{len(record.tried)} trials"
    if record.chosen == OWN:
        heading = f"`taskroute tune`, {date}: none of {trials} is better than this config."
    else:
        heading = f"Found by `taskroute tune`, {date}: trial {record.chosen} of {trials}."
    lines = [heading, f"Objective, on validation: {objective(record)}."]
    lines += [f"{sentence[0].upper()}{sentence[1:]}." for sentence in record.findings]
    lines += [
        f"{path}: {record.own_values[path]} -> {value}"
        for path, value in record.chosen_values.items()
    ]
    return [part for line in lines for part in wrap(line, _COMMENT_WIDTH, subsequent_indent="  ")]
