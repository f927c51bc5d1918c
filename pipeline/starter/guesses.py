"""Guesses of each column's role: time, label, feature or none.

Names decide where values cannot: whether a 0 or 1 is an outcome, whether seconds were watched.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count

import numpy as np
from pydantic import TypeAdapter, ValidationError

from taskroute.components.measures.single_column_auc import Leak
from taskroute.pipeline.starter.columns import LogColumn, LogSample
from taskroute.pipeline.starter.features import (
    guess_feature,
    is_user,
    known_after,
    named_after,
    share_ids,
)
from taskroute.pipeline.starter.guess import Guess, left_out
from taskroute.pipeline.starter.tasks import guess_tasks, offered_task
from taskroute.pipeline.starter.words import words
from taskroute.schemas.base import Column
from taskroute.schemas.errors import DataError

_TIME_WORDS = {"time", "timestamp", "ts", "date", "datetime", "epoch", "at", "day"}
_NEARLY_SORTED = 0.99


def guess(sample: LogSample) -> list[Guess]:
    """Guesses the role of each column, in the order of the log.

    Raises:
        DataError: If no column looks like a label, or none like a feature.
    """
    columns = list(sample.columns.values())
    positions = {column.name: place for place, column in enumerate(columns, 1)}
    guesses = {c.name: left_out(c, reason) for c in columns if (reason := useless(c))}
    times = [column for column in _rest(sample, guesses) if _is_time(column)]
    for column in times:
        why = "another time; what it says of a row must be a number or a text"
        guesses[column.name] = left_out(column, why)
    if times:
        name = max(times, key=_likeness_to_a_log).name
        guesses[name] = Guess(name, "time", {}, "holds times; the newest rows are test")
    for column in _rest(sample, guesses):
        if (later := named_after(column)) is not None:
            guesses[column.name] = later
    outcomes = guess_tasks(_rest(sample, guesses))
    guesses |= {outcome.guess.column: outcome.guess for outcome in outcomes}
    if not outcomes:
        raise DataError(
            "no column holds 0 and 1, and none is named as watch_seconds are, so there is nothing "
            "to predict; add a label, or call `taskroute init` without a log and write `tasks`"
        )
    for column in _rest(sample, guesses):
        place = positions[column.name]
        found = known_after(column, outcomes) or guess_feature(column, place)
        offered = offered_task(column, place, columns) if found.role == "feature" else None
        if offered is not None:
            found = replace(found, why=f"{found.why}; {offered[0]}?", offered=offered[1])
        guesses[column.name] = found
    if not any(each.role == "feature" for each in guesses.values()):
        raise DataError(
            "no column is left to predict from; add what was known before the outcome, such as a "
            "user and an item"
        )
    named = _with_unique_names([guesses[name] for name in sample.columns])
    return share_ids(named, sample.columns)


def without_leaks(guesses: Sequence[Guess], leaks: Mapping[str, Sequence[Leak]]) -> list[Guess]:
    """Leaves out features whose columns alone decide a task, unless none would remain."""
    is_leak = [each.role == "feature" and each.column in leaks for each in guesses]
    others = [
        g for g, leaky in zip(guesses, is_leak, strict=True) if g.role == "feature" and not leaky
    ]
    owners = {each.fields["name"] for each in others}
    if not others:
        return list(guesses)
    return [
        Guess(each.column, "left out", {}, _leak_sentence(leaks[each.column]))
        if leaky
        else _with_own_ids(each, owners)
        for each, leaky in zip(guesses, is_leak, strict=True)
    ]


def _leak_sentence(leaks: Sequence[Leak]) -> str:
    leak = max(leaks, key=lambda leak: leak.score)
    what = "being there or missing" if leak.by_missing else "its values"
    metric = "AUC" if leak.is_binary else "rank correlation"
    return f"{what} alone decide {leak.task} ({metric} {leak.score:.3f}): is it known before?"


def _with_own_ids(guess: Guess, owners: Container[str]) -> Guess:
    """Gives ids of its own to a sequence whose categorical feature is left out."""
    shares = guess.fields.get("shares")
    if shares is None or shares in owners:
        return guess
    fields = {name: value for name, value in guess.fields.items() if name != "shares"}
    return replace(guess, fields={**fields, "vocabulary": {}, "embedding_dim": 8})


def group_column(guesses: Sequence[Guess]) -> str | None:
    """Column of the user: a categorical feature that is named like one."""
    columns = [g.column for g in guesses if g.role == "feature" and g.kind == "categorical"]
    return next((column for column in columns if is_user(column)), None)


def useless(column: LogColumn) -> str | None:
    """Reason why a column has no use; None where it may have one."""
    try:
        TypeAdapter(Column).validate_python(column.name)
    except ValidationError:
        return "a config cannot name it; rename it in the log"
    if column.has_objects:
        return "holds objects or lists of them"
    if column.num_missing == column.num_rows:
        return "is missing in every row"
    if len(column.terms) == 1 and not column.num_missing:
        return "is the same in every row"
    return None


def _rest(sample: LogSample, guesses: dict[str, Guess]) -> list[LogColumn]:
    return [column for name, column in sample.columns.items() if name not in guesses]


def _is_time(column: LogColumn) -> bool:
    if column.seconds is None:
        return False
    return column.numbers is None or bool(words(column.name) & _TIME_WORDS)


def _likeness_to_a_log(column: LogColumn) -> tuple[bool, int]:
    """Rank of a time: rows of a log are sorted by it, and few of them share one."""
    seconds = np.zeros(0, np.int64) if column.seconds is None else column.seconds
    steps = np.diff(seconds)
    is_sorted = len(steps) > 0 and np.count_nonzero(steps >= 0) >= _NEARLY_SORTED * len(steps)
    return bool(is_sorted), len(np.unique(seconds))


def _with_unique_names(guesses: Sequence[Guess]) -> list[Guess]:
    """Numbers the names that two features, or a feature and a missing flag, would share."""
    used = {f"{each.fields['name']}_missing" for each in guesses if each.kind == "dense"}
    named = []
    for each in guesses:
        if each.role == "feature":
            own_name = each.fields["name"]
            variants = (f"{own_name[:60]}_{number}" for number in count(2))
            name = next(name for name in chain([own_name], variants) if name not in used)
            used.add(name)
            fields = {**each.fields, "name": name}
            if name != each.column:
                fields["column"] = each.column
            each = replace(each, fields=fields)
        named.append(each)
    return named
