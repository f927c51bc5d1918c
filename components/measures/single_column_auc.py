"""Leaks: columns that alone decide a task.

A column is a leak if its values, in order of size, of label rate, or by being missing, separate the
classes of a binary task, or have the order of a regression task's labels. Rates are learned on one
half of the rows and judged on the other: ids that occur once decide nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.components.logs.labels import CONTRADICTION, POSITIVE, roles_of
from taskroute.schemas.columns import RawColumn, feature_columns
from taskroute.schemas.findings import Finding, shorten
from taskroute.schemas.recommender import DataConfig
from taskroute.schemas.tasks import Task, with_conditions

LEAST_AUC = 0.99
LEAST_RANK_CORRELATION = 0.995

MOST_ROWS = 50_000
# Rows of the rarer class, or with another label than the most frequent, below which chance decides.
_LEAST_ROWS = 20
_NUM_BUCKETS = 64

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.number[Any]]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Target:
    """Labels of one task.

    Attributes:
        task: Name of the task.
        is_binary: Whether the labels are 0 and 1.
        labels: (N,); ranks from 0 to 1 of a regression task.
        counts: (N,), mask of the rows that count for the task.
        half: (N,), mask of one random half of the rows.
    """

    task: str
    is_binary: bool
    labels: Floats
    counts: Bools
    half: Bools


@dataclass(frozen=True)
class Leak:
    """One column that decides one task.

    Attributes:
        task: Name of the task.
        score: AUC, or absolute rank correlation of a regression task.
        is_binary: Whether the score is an AUC.
        by_missing: Whether the column's being missing is enough.
        num_rows: Number of rows that count for the task.
    """

    task: str
    score: float
    is_binary: bool
    by_missing: bool
    num_rows: int


def leaks_by_column(config: DataConfig, examples: pa.Table) -> dict[str, list[Leak]]:
    """Finds the columns of features that alone decide tasks, the most certain first.

    Args:
        config: Features and tasks.
        examples: Raw examples; a column that they lack is passed over. Of more than MOST_ROWS rows
            some are taken, evenly.
    """
    if examples.num_rows > MOST_ROWS:
        examples = examples.take(np.linspace(0, examples.num_rows - 1, MOST_ROWS).astype(np.int64))
    targets = [
        target
        for task in config.tasks
        if (target := make_target(config.tasks, task, examples)) is not None
    ]
    found = []
    for column in feature_columns(config):
        if column.name in examples.column_names and targets:
            leaks = leaks_of(_combined(examples[column.name]), column, targets)
            if leaks:
                found.append((column.name, leaks))
    found.sort(key=lambda pair: -max(leak.score for leak in pair[1]))
    return dict(found)


def find_leaks(config: DataConfig, examples: pa.Table) -> list[Finding]:
    """Tells of the leaks that `leaks_by_column` finds; the rest of many in one sentence."""
    found = list(leaks_by_column(config, examples).items())
    names = {feature.column: feature.name for feature in reversed(config.features)}
    findings = [
        Finding(kind="leak", subject=names[column], sentence=_sentence(names[column], column, all_))
        for column, all_ in found
    ]
    return shorten(findings)


def make_target(tasks: Sequence[Task], task: Task, examples: pa.Table) -> Target | None:
    """Labels of a task, and the rows that count for it.

    Returns:
        None if a column is missing, or too few rows count to judge a column by.
    """
    related = with_conditions(task, tasks)
    needed = {name for each in related for name in (each.label.column, each.weight) if name}
    if not needed <= set(examples.column_names):
        return None
    role = roles_of({name: _combined(examples[name]) for name in needed}, related)[task.name]
    counts, labels = role >= 0, np.zeros(len(role))
    if task.kind == "binary":
        labels[counts] = np.isin(role[counts], (POSITIVE, CONTRADICTION))
        frequencies = np.bincount(labels[counts].astype(np.int64), minlength=2)
    else:
        values = _numbers(examples[task.label.column])
        _, codes, frequencies = np.unique(
            task.label.for_loss(values[counts], np), return_inverse=True, return_counts=True
        )
        labels[counts] = _mid_ranks(frequencies)[codes]
    if counts.sum() - max(frequencies, default=0) < _LEAST_ROWS or min(frequencies) == 0:
        return None
    half = np.random.default_rng(0).random(len(role)) < 0.5
    return Target(task.name, task.kind == "binary", labels, counts, half)


def leaks_of(values: pa.Array, column: RawColumn, targets: Sequence[Target]) -> list[Leak]:
    """Finds the tasks that a column decides.

    Args:
        values: (N,), the column as in raw examples: list<float32> or list<binary>.
        column: Kind of the column.
        targets: Labels (N,) of the tasks.
    """
    lengths = np.asarray(pc.fill_null(values.value_lengths(), 0)).astype(np.int64)
    flat = values.flatten()
    rows: Ints | None = None
    if column.kind == "number":
        ordered = np.zeros(len(values), np.int64)
        ordered[lengths > 0] = np.unique(np.asarray(flat), return_inverse=True)[1] + 1
        terms = _buckets(ordered)
    else:
        of_values = np.asarray(pc.dictionary_encode(flat).indices).astype(np.int64) + 1
        ordered = lengths
        terms = np.zeros(len(values), np.int64)
        if column.kind == "text":
            terms[lengths > 0] = of_values
        else:
            empty = np.flatnonzero(lengths == 0)
            rows = np.concatenate([np.repeat(np.arange(len(values)), lengths), empty])
            terms = np.concatenate([of_values, np.zeros(len(empty), np.int64)])
    is_missing = (lengths == 0).astype(np.int64)
    found = []
    for target in targets:
        least = LEAST_AUC if target.is_binary else LEAST_RANK_CORRELATION
        missing_score = _by_order(is_missing, target)
        scores = [missing_score, _by_order(ordered, target), _by_rate(terms, rows, target)]
        if max(scores) >= least:
            num_rows = int(target.counts.sum())
            by_missing = missing_score >= least
            found.append(Leak(target.task, max(scores), target.is_binary, by_missing, num_rows))
    return found


def _sentence(feature: str, column: str, leaks: Sequence[Leak]) -> str:
    tasks = " and ".join(
        f"task '{leak.task}' ({'AUC' if leak.is_binary else 'rank correlation'} {leak.score:.3f} "
        f"over {leak.num_rows:,} rows)"
        for leak in leaks
    )
    if all(leak.by_missing for leak in leaks):
        how = f"whether its column '{column}' is missing alone decides {tasks}"
    else:
        how = f"its column '{column}' alone decides {tasks}"
    return (
        f"feature '{feature}': {how}; if it is written with or after the outcome, it leaks: leave "
        "it out of `features`"
    )


def _by_order(codes: Ints, target: Target) -> float:
    """Score of values by size, rising or falling; code 0, missing, comes first or last."""
    codes, labels = codes[target.counts], target.labels[target.counts]
    counts = np.bincount(codes).astype(np.float64)
    sums = np.bincount(codes, weights=labels)
    best = 0.0
    for shift in (0, -1) if counts[0] else (0,):
        by_value, of_labels = np.roll(counts, shift), np.roll(sums, shift)
        if target.is_binary:
            auc = _auc(of_labels, by_value - of_labels)
            best = max(best, auc, 1 - auc)
        else:
            predictions = np.roll(_mid_ranks(by_value.astype(np.int64)), -shift)
            best = max(best, abs(_correlation(predictions[codes], labels)))
    return best


def _by_rate(terms: Ints, rows: Ints | None, target: Target) -> float:
    """Score of terms by mean label: learned on one half of the rows, judged on the other.

    Args:
        terms: (V,), code of each value.
        rows: (V,), row of each value, where a row may have many; None where value i is row i's.
        target: Labels.
    """
    learn, judge = target.counts & target.half, target.counts & ~target.half
    if not learn.any() or not judge.any():
        return 0.0
    mean = target.labels[learn].mean()
    of_value = slice(None) if rows is None else rows
    is_learned = learn[of_value]
    size = int(terms.max(initial=0)) + 1
    counts = np.bincount(terms[is_learned], minlength=size)
    sums = np.bincount(
        terms[is_learned], weights=target.labels[of_value][is_learned], minlength=size
    )
    rates = (sums + mean) / (counts + 1)
    if rows is None and target.is_binary:
        counts = np.bincount(terms[judge], minlength=size)
        positives = np.bincount(terms[judge], weights=target.labels[judge], minlength=size)
        return _auc_of_scores(rates, positives, counts - positives)
    if rows is None:
        scores = rates[terms]
    else:
        lengths = np.bincount(rows, minlength=len(target.labels))
        scores = np.bincount(rows, weights=rates[terms], minlength=len(lengths)) / lengths
    scores, labels = scores[judge], target.labels[judge]
    if not target.is_binary:
        return _correlation(scores, labels)
    return _auc_of_scores(scores, labels, 1 - labels)


def _auc_of_scores(scores: Floats, positives: Numbers, negatives: Numbers) -> float:
    """AUC of numbers of rows by score, in any order."""
    _, codes = np.unique(scores, return_inverse=True)
    return _auc(np.bincount(codes, weights=positives), np.bincount(codes, weights=negatives))


def _auc(positives: Numbers, negatives: Numbers) -> float:
    """AUC of rows in groups of rising score; .5 without both classes."""
    pairs = positives.sum() * negatives.sum()
    if not pairs:
        return 0.5
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum() / pairs)


def _correlation(first: Floats, second: Floats) -> float:
    first, second = first - first.mean(), second - second.mean()
    scale = np.sqrt(np.square(first).sum() * np.square(second).sum())
    return float((first * second).sum() / scale) if scale else 0.0


def _mid_ranks(counts: npt.NDArray[np.integer]) -> Floats:
    """Rank from 0 to 1 of each of the rising values that occur so often."""
    return np.asarray((np.cumsum(counts) - counts / 2) / max(counts.sum(), 1))


def _buckets(codes: Ints) -> Ints:
    """Merges rising codes from 1 into buckets of about equal size; few codes stay as they are."""
    counts = np.bincount(codes)
    if len(counts) <= _NUM_BUCKETS:
        return codes
    ranks = _mid_ranks(counts[1:])
    buckets = np.concatenate([[0], 1 + (ranks * _NUM_BUCKETS).astype(np.int64)])
    return np.asarray(buckets[codes])


def _numbers(column: pa.ChunkedArray) -> Floats:
    """Numbers of a column of at most one a row, NaN where missing."""
    values = _combined(column)
    numbers = np.full(len(values), np.nan)
    numbers[np.asarray(pc.fill_null(values.value_lengths(), 0)) > 0] = np.asarray(values.flatten())
    return numbers


def _combined(column: pa.ChunkedArray) -> pa.Array:
    """Single array of a column, without chunks."""
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined
