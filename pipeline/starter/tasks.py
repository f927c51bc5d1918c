"""Guesses of the tasks: columns whose names or values are those of outcomes.

A name decides whether a 0 or 1 is an outcome, and values what it depends on: a label that is never
1 where another one is 0 counts where that one is 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Any

import numpy as np

from taskroute.pipeline.starter.columns import LogColumn
from taskroute.pipeline.starter.guess import Guess
from taskroute.pipeline.starter.words import english_name, parts, words

_CLICK_WORDS = {"click", "clicks", "clicked"}
_OUTCOME_WORDS = _CLICK_WORDS | {
    "add", "added", "answered", "applied", "booked", "bookmark", "bookmarked", "bought", "buy",
    "canceled", "cancelled", "cart", "churned", "comment", "commented", "complete", "completed",
    "conversion", "convert", "converted", "dislike", "disliked", "download", "downloaded",
    "favorite", "favorited", "favourite", "finish", "finished", "follow", "followed", "forward",
    "forwarded", "hidden", "hide", "install", "installed", "label", "like", "liked", "open",
    "opened", "order", "ordered", "paid", "pay", "play", "played", "purchase", "purchased",
    "rated", "read", "replied", "report", "reported", "returned", "retweet", "retweeted",
    "save", "saved", "share", "shared", "skip", "skipped", "subscribe", "subscribed", "target",
    "upvoted", "view", "viewed", "watch", "watched",
}  # fmt: skip
_RATING_WORDS = {"rating", "ratings", "star", "stars", "score", "grade"}
_WATCH_WORDS = {
    "dwell", "dwelled", "engagement", "listen", "listened", "play", "played", "read", "reading",
    "spent", "stay", "stayed", "view", "viewed", "viewing", "watch", "watched", "watching",
}  # fmt: skip
_DURATION_WORDS = {"duration", "ms", "min", "minutes", "s", "sec", "second", "seconds", "secs",
                   "time"}  # fmt: skip
# Words beside which a number is a sum or a mean over other rows, and no outcome of this one.
_STATISTIC_WORDS = {"average", "avg", "count", "mean", "num", "number", "total", "past", "last",
                    "previous", "history"}  # fmt: skip
_STEMS = {
    "bought": "buy",
    "clicked": "click",
    "commented": "comment",
    "completed": "complete",
    "converted": "convert",
    "downloaded": "download",
    "followed": "follow",
    "installed": "install",
    "liked": "like",
    "ordered": "order",
    "played": "play",
    "purchased": "purchase",
    "saved": "save",
    "shared": "share",
    "subscribed": "subscribe",
    "viewed": "view",
    "watched": "watch",
}
_NO_PART_OF_A_NAME = ("is", "has", "label", "did")

_MOST_RATINGS = 11
_GOOD_RATING = 0.8  # of the highest: 4 of 5, 8 of 10
_RARE = 0.2
_ROWS_OF_A_TERM = 3
# Chance that all 1s of a label fall on another's if they have nothing to do with one another.
_CHANCE = 1e-6


@dataclass(frozen=True)
class Outcome:
    """A guessed task, and the rows, (N,) bool, where it happened."""

    guess: Guess
    happened: np.ndarray

    @property
    def is_condition(self) -> bool:
        """True if other tasks may count where this one is 1."""
        return self.guess.role == "task" and self.guess.kind == "binary"


def guess_tasks(columns: Sequence[LogColumn]) -> list[Outcome]:
    """Tasks among the columns, the click first, and labels that say the same as another."""
    positions = {column.name: place for place, column in enumerate(columns, 1)}
    outcomes = [
        outcome
        for column in columns
        if (outcome := _named_label(column, positions[column.name])) is not None
    ]
    watched = [column for column in columns if _is_watch_time(column)]
    ids = [column for column in columns if not column.is_list and column.flags is None]
    ratings = [c for c in columns if _is_rating(c) and attribute_of(c, ids) is None]
    flags = [column for column in columns if column.flags is not None]
    if not outcomes and not watched and not ratings and flags:
        own = [column for column in flags if attribute_of(column, ids) is None] or flags
        column = own[-1]
        why = "the last column of 0 and 1, not named like an outcome"
        outcomes = [_flag_task(column, positions[column.name], why)]
    outcomes.sort(key=lambda outcome: not words(outcome.guess.column) & _CLICK_WORDS)
    outcomes += [_rating_task(column, positions[column.name]) for column in ratings]
    outcomes += [_watch_task(column, positions[column.name]) for column in watched]
    return _with_conditions(_with_own_names(outcomes))


def is_named_like_an_outcome(column: str) -> bool:
    """True if a word of the name is that of an outcome."""
    return bool(words(column) & _OUTCOME_WORDS)


def offered_task(
    column: LogColumn, position: int, columns: Sequence[LogColumn]
) -> tuple[str, dict[str, Any]] | None:
    """Reason and fields of a task that a flag without an outcome's name may be; mostly None.

    Args:
        column: Column that is a feature.
        position: Its place in the log.
        columns: All columns.
    """
    flags = column.flags
    if flags is None:
        return None
    rate = float(np.nanmean(flags))
    ids = [other for other in columns if not other.is_list and other.flags is None]
    if rate > _RARE or attribute_of(column, ids) is not None:
        return None
    fields = {"name": _task_name(column.name, position), "label": _label(column)}
    return f"0 and 1, and {rate:.1%} are 1: is it an outcome", fields


def attribute_of(column: LogColumn, ids: Sequence[LogColumn]) -> str | None:
    """Id whose every term has one value of the column, such as a user's or an item's; or None."""
    if column.is_list:
        return None
    codes = column.codes
    for other in ids:
        num_terms = len(other.terms)
        if other.name == column.name or not 10 < num_terms <= column.num_rows / _ROWS_OF_A_TERM:
            continue
        both = np.unique(other.codes * (len(column.terms) + 1) + codes)
        if len(both) == len(np.unique(other.codes)):
            return other.name
    return None


def _named_label(column: LogColumn, position: int) -> Outcome | None:
    named = words(column.name)
    if not named & _OUTCOME_WORDS:
        return None
    if column.flags is not None:
        two = "0 and 1" if column.yes is None else f"two terms, '{column.yes}' for 1"
        return _flag_task(column, position, f"holds {two}, and is named like an outcome")
    if column.numbers is None or named & (_DURATION_WORDS | _STATISTIC_WORDS):
        return None
    known = np.unique(column.known)
    if len(known) != 2:
        return None
    low, high = known
    why = f"holds {low:g} and {high:g}, and is named like an outcome"
    label = {"column": column.name, "at_least": float(high)}
    fields = {"name": _task_name(column.name, position), "label": label}
    return Outcome(Guess(column.name, "task", fields, why), column.amounts == high)


def _flag_task(column: LogColumn, position: int, why: str) -> Outcome:
    fields = {"name": _task_name(column.name, position), "label": _label(column)}
    if column.num_unreadable:
        count = column.num_unreadable
        why += f"; {count:,} value{' is' if count == 1 else 's are'} neither"
    return Outcome(Guess(column.name, "task", fields, why), np.asarray(column.flags) == 1)


def _label(column: LogColumn) -> dict[str, Any]:
    label: dict[str, Any] = {"column": column.name}
    return label if column.yes is None else {**label, "equals": column.yes}


def _is_rating(column: LogColumn) -> bool:
    named = words(column.name)
    if column.numbers is None or not named & _RATING_WORDS or named & _STATISTIC_WORDS:
        return False
    known = np.unique(column.known)
    is_step = bool(np.all(known * 2 == np.round(known * 2)))
    return 2 < len(known) <= _MOST_RATINGS and is_step and known[0] >= 0 and 3 <= known[-1] <= 10


def _rating_task(column: LogColumn, position: int) -> Outcome:
    highest = 5 if column.known.max() <= 5 else 10
    least = int(highest * _GOOD_RATING)
    label = {"column": column.name, "at_least": least}
    fields = {"name": _task_name(column.name, position), "label": label}
    why = f"holds ratings up to {highest}; {least} and more are good"
    return Outcome(Guess(column.name, "task", fields, why), column.amounts >= least)


def _is_watch_time(column: LogColumn) -> bool:
    named = words(column.name)
    if column.numbers is None or not (named & _WATCH_WORDS and named & _DURATION_WORDS):
        return False
    known = column.known
    return bool(known.min() >= 0 and len(np.unique(known)) > 2)


def _watch_task(column: LogColumn, position: int) -> Outcome:
    fields = {
        "name": english_name(column.name, position),
        "kind": "regression",
        "label": {"column": column.name, "minimum": 0},
        "loss": "weighted_logistic",
    }
    why = "holds numbers, and is named like watch time"
    return Outcome(Guess(column.name, "task", fields, why), column.amounts > 0)


def _with_own_names(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Numbers the names that two tasks would share."""
    named: dict[str, Outcome] = {}
    for outcome in outcomes:
        own_name = outcome.guess.fields["name"]
        variants = (f"{own_name[:60]}_{number}" for number in count(2))
        name = next(name for name in chain([own_name], variants) if name not in named)
        fields = {**outcome.guess.fields, "name": name}
        named[name] = replace(outcome, guess=replace(outcome.guess, fields=fields))
    return list(named.values())


def _with_conditions(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Sets `trained_where` of labels that are only ever 1 where another one is."""
    found: list[Outcome] = []
    for outcome in outcomes:
        same = next(
            (
                other
                for other in found
                if outcome.is_condition
                and other.is_condition
                and np.array_equal(outcome.happened, other.happened)
            ),
            None,
        )
        if same is not None:
            why = f"is 1 where {same.guess.column} is, and nowhere else"
            outcome = replace(outcome, guess=Guess(outcome.guess.column, "left out", {}, why))
        found.append(outcome)
    return [_with_condition(outcome, found) for outcome in found]


def _with_condition(outcome: Outcome, others: Sequence[Outcome]) -> Outcome:
    if outcome.guess.role != "task":
        return outcome
    wider = [
        other
        for other in others
        if other is not outcome and other.is_condition and _holds(other.happened, outcome)
    ]
    if not wider:
        return outcome
    # The click, else what happens most often: the first step of a funnel.
    condition = max(
        wider,
        key=lambda o: (bool(words(o.guess.column) & _CLICK_WORDS), np.count_nonzero(o.happened)),
    )
    guess = outcome.guess
    what = (
        "is 0"
        if guess.kind == "regression" or "at_least" not in guess.fields["label"]
        else (f"is below {guess.fields['label']['at_least']:g}")
    )
    fields = {**guess.fields, "trained_where": condition.guess.fields["name"]}
    why = f"{guess.why}; {what} wherever {condition.guess.column} is 0"
    return replace(outcome, guess=replace(guess, fields=fields, why=why))


def _holds(condition: np.ndarray, outcome: Outcome) -> bool:
    """True if the outcome is only ever 1 where `condition` is, and not by chance."""
    num_happened = int(np.count_nonzero(outcome.happened))
    num_condition = int(np.count_nonzero(condition))
    if np.any(outcome.happened & ~condition) or num_condition == len(condition):
        return False
    if outcome.is_condition and num_condition == num_happened:
        return False
    return is_beyond_chance(num_happened, num_condition / len(condition))


def is_beyond_chance(number: int, rate: float) -> bool:
    """True if rows of this number do not all fall within a share `rate` of the log by chance."""
    return 0 < rate < 1 and number * math.log(rate) < math.log(_CHANCE)


def _task_name(name: str, position: int) -> str:
    """Name of a label's task: `click` for `is_clicked`, `geklickt` and `outcome.clicked`."""
    inside = name.rpartition(".")[2]
    name = inside if is_named_like_an_outcome(inside) else name
    english = english_name(name, position)
    if english == f"column_{position}":
        return english
    kept = [word for word in parts(name) if word not in _NO_PART_OF_A_NAME]
    return "_".join(_STEMS.get(word, word) for word in kept)[:64] or english
