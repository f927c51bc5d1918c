"""Losses that are no number: the task, and the label or weight that made them so."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from taskroute.schemas.tasks import Task

# A label or weight above it is named as the cause; what trains well is far below.
_LARGE = 1e6


def diverged_tasks(tasks: Sequence[Task], logs: Mapping[str, float]) -> list[Task]:
    """Tasks with a loss, of training or of validation, that is infinite or NaN."""
    return [
        task
        for task in tasks
        if not all(math.isfinite(logs.get(f"{of}{task.name}_loss", 0.0)) for of in ("", "val_"))
    ]


def describe_divergence(
    tasks: Sequence[Task], epoch: int, datasets: Iterable[Iterable[Mapping[str, Any]]]
) -> str:
    """One sentence: the task, and its largest label or weight where that is the likely cause.

    Args:
        tasks: Tasks whose losses are no number.
        epoch: Epoch, from 1.
        datasets: Batches of labels and weights by key, to search for the cause.
    """
    labels = dict.fromkeys((task.name for task in tasks), 0.0)
    weights = dict(labels)
    for batch in (batch for dataset in datasets for batch in dataset):
        for task in tasks:
            values, row_weights = (
                np.asarray(batch[task.label_key]),
                np.asarray(batch[task.weight_key]),
            )
            largest = float(np.abs(values[row_weights > 0]).max(initial=0.0))
            labels[task.name] = max(labels[task.name], largest)
            weights[task.name] = max(weights[task.name], float(row_weights.max(initial=0.0)))
    task = max(tasks, key=lambda task: max(labels[task.name], weights[task.name]))
    label, weight = labels[task.name], weights[task.name]
    if label >= max(weight, _LARGE):
        smaller = "give `label.maximum` or `label.transform: log1p`"
        if task.label.maximum is not None:
            smaller = "give a smaller `label.maximum`"
        cause = f"a label is {label:.4g}: {smaller}"
    elif weight >= _LARGE:
        cause = f"a weight, column '{task.weight}', is {weight:.4g}: give smaller ones"
    else:
        cause = "lower `training.learning_rate`"
    return f"the loss of task '{task.name}' is no number at epoch {epoch}; {cause}"
