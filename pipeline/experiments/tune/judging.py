"""Judgement of a trial: the objective's mean, and the constraints that it breaks."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from taskroute.schemas.evaluation import BETTER, Bound
from taskroute.schemas.tasks import Task
from taskroute.schemas.tuning import Aim

# By task and name; None where one is undefined.
Metrics = Mapping[str, Mapping[str, float | None]]

_DEFAULT = {"binary": "auc", "regression": "xauc"}


def aims_of(objective: Sequence[Aim], tasks: Sequence[Task]) -> tuple[Aim, ...]:
    """Objective with every metric named; every task's where there is none."""
    kinds = {task.name: task.kind for task in tasks}
    aims = objective or [Aim(task=name) for name in kinds]
    return tuple(
        aim.model_copy(update={"metric": aim.metric or _DEFAULT[kinds[aim.task]]}) for aim in aims
    )


def score(metrics: Metrics, aims: Sequence[Aim]) -> float | None:
    """Weighted mean, less being better counted negative; None if a metric is undefined."""
    total = 0.0
    for aim in aims:
        value = metric_of(metrics, aim.task, aim.metric or "")
        if value is None:
            return None
        total += aim.weight * BETTER[aim.metric or ""] * value
    return total / sum(aim.weight for aim in aims)


def broken(metrics: Metrics, own: Metrics, constraints: Sequence[Bound]) -> list[str]:
    """Sentences on each constraint that is not kept.

    Args:
        metrics: Metrics of the trial.
        own: Metrics of the config as it is.
        constraints: Constraints to check.
    """
    reasons = []
    for bound in constraints:
        name = f"{bound.task} {bound.metric}"
        value = metric_of(metrics, bound.task, bound.metric)
        if value is None:
            reasons.append(f"{name} is undefined")
            continue
        if bound.at_least is not None and value < bound.at_least:
            reasons.append(f"{name} {value:.4f} is below {bound.at_least:g}")
        if bound.at_most is not None and value > bound.at_most:
            reasons.append(f"{name} {value:.4f} is above {bound.at_most:g}")
        before = metric_of(own, bound.task, bound.metric)
        if bound.may_lose is None:
            continue
        if before is None:
            reasons.append(f"{name} is undefined for the config as it is")
            continue
        lost = (before - value) * BETTER[bound.metric]
        if lost > bound.may_lose:
            reasons.append(f"{name} {value:.4f} is {lost:.4f} worse, more than {bound.may_lose:g}")
    return reasons


def mean_metrics(many: Sequence[Metrics]) -> dict[str, dict[str, float | None]]:
    """Mean of each metric over trainings; None where it is undefined in one of them."""
    return {
        task: {name: mean([metric_of(metrics, task, name) for metrics in many]) for name in values}
        for task, values in many[0].items()
    }


def metric_of(metrics: Metrics, task: str, name: str) -> float | None:
    """A metric; None where it is undefined."""
    return metrics.get(task, {}).get(name)


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values; None if there are none, or one is undefined."""
    entries = list(values)
    known = [value for value in entries if value is not None]
    return fmean(known) if known and len(known) == len(entries) else None
