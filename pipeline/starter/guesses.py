"""Guesses of each column's role: time, label, feature or none.

Names decide where values cannot: whether a 0 or 1 is an outcome, whether seconds were watched. The
words are English.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from taskroute.pipeline.starter.columns import LogColumn, LogSample
from taskroute.schemas.base import Column
from taskroute.schemas.errors import DataError

_TIME_WORDS = {"time", "timestamp", "ts", "date", "datetime", "epoch", "at", "day"}
_CLICK_WORDS = {"click", "clicks", "clicked"}
_OUTCOME_WORDS = _CLICK_WORDS | {
    "add", "added", "bookmark", "bookmarked", "buy", "bought", "cart", "comment", "commented",
    "complete", "completed", "conversion", "convert", "converted", "download", "downloaded",
    "favorite", "favorited", "favourite", "finish", "finished", "follow", "followed", "forward",
    "hide", "hidden", "install", "installed", "label", "like", "liked", "open", "opened", "order",
    "ordered", "paid", "pay", "play", "played", "purchase", "purchased", "rated", "read", "report",
    "reported", "retweet", "save", "saved", "share", "shared", "skip", "skipped", "subscribe",
    "subscribed", "target", "view", "viewed", "watch", "watched",
}  # fmt: skip
_WATCH_WORDS = {
    "dwell", "dwelled", "engagement", "listen", "listened", "play", "played", "read", "reading",
    "spent", "stay", "stayed", "view", "viewed", "viewing", "watch", "watched", "watching",
}  # fmt: skip
_DURATION_WORDS = {"duration", "ms", "min", "minutes", "s", "sec", "second", "seconds", "secs",
                   "time"}  # fmt: skip
_ID_WORDS = {"code", "hash", "id", "ids", "key", "uid", "uuid", "zip"}
_VISIT_WORDS = {"event", "impression", "log", "request", "row", "session", "trace", "visit"}
_USER_WORDS = {"account", "customer", "member", "uid", "user", "viewer", "visitor"}
_PAST_WORDS = {"history", "last", "past", "previous", "recent", "seq", "sequence"}

_STEMS = {
    "bought": "buy",
    "clicked": "click",
    "commented": "comment",
    "followed": "follow",
    "liked": "like",
    "purchased": "purchase",
    "saved": "save",
    "shared": "share",
}

_FEW_TERMS, _FEW_IDS = 1_000, 100  # fewer ids, because new ones come every day
# Largest number of terms for each width.
_EMBEDDING_DIMS = ((20, 4), (_FEW_TERMS, 8))
_HASHED_EMBEDDING_DIM = 16
_ROWS_THAT_TELL = 100
_NEARLY_ALL = 0.9
_SHARED_TERMS = 0.5
_HASH_BUCKETS = (10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)

Role = Literal["time", "task", "feature", "left out"]


@dataclass(frozen=True)
class Guess:
    """Guessed role of a column.

    Attributes:
        column: Name of the column.
        role: Role in the config.
        fields: Fields of the task or the feature in the config.
        why: Reason of the guess, for a person who knows better.
    """

    column: str
    role: Role
    fields: dict[str, Any]
    why: str

    @property
    def kind(self) -> str:
        return self.fields.get("kind", "binary") if self.fields else ""


def guess(sample: LogSample) -> list[Guess]:
    """Guesses the role of each column, in the order of the log.

    Raises:
        DataError: If no column looks like a label, or none like a feature.
    """
    columns = sample.columns.values()
    guesses = {c.name: _left_out(c, reason) for c in columns if (reason := useless(c))}
    times = [column for column in _rest(sample, guesses) if _is_time(column)]
    for column in times:
        why = "another time; what it says of a row must be a number or a text"
        guesses[column.name] = _left_out(column, why)
    if times:
        name = times[0].name
        guesses[name] = Guess(name, "time", {}, "holds times; the newest rows are test")
    guesses |= {task.column: task for task in _tasks(_rest(sample, guesses))}
    if not any(each.role == "task" for each in guesses.values()):
        raise DataError(
            "no column holds 0 and 1, and none is named as watch_seconds are, so there is nothing "
            "to predict; add a label, or call `taskroute init` without a log and write `tasks`"
        )
    click = next((column for column in columns if _is_click(column)), None)
    for column in _rest(sample, guesses):
        guesses[column.name] = _known_after(column, click) or _feature(column)
    if not any(each.role == "feature" for each in guesses.values()):
        raise DataError(
            "no column is left to predict from; add what was known before the outcome, such as a "
            "user and an item"
        )
    return _share(_with_unique_names([guesses[name] for name in sample.columns]), sample)


def group_column(guesses: Sequence[Guess]) -> str | None:
    """Column of the user: a categorical feature that is named like one."""
    columns = [g.column for g in guesses if g.role == "feature" and g.kind == "categorical"]
    return next((c for c in columns if _is_user(_words(c))), None)


def _is_user(words: set[str]) -> bool:
    return bool(words & _USER_WORDS) and not words - _USER_WORDS - _ID_WORDS


def useless(column: LogColumn) -> str | None:
    """Reason why a column has no use; None where it may have one."""
    try:
        TypeAdapter(Column).validate_python(column.name)
    except ValidationError:
        return "a config cannot name it; use letters, digits and _"
    if column.has_objects:
        return "holds objects or lists of them"
    if column.num_missing == column.num_rows:
        return "is missing in every row"
    if len(column.terms) == 1 and not column.num_missing:
        return "is the same in every row"
    return None


def _left_out(column: LogColumn, why: str) -> Guess:
    return Guess(column.name, "left out", {}, why)


def _rest(sample: LogSample, guesses: dict[str, Guess]) -> list[LogColumn]:
    return [column for name, column in sample.columns.items() if name not in guesses]


def _is_time(column: LogColumn) -> bool:
    if column.seconds is None:
        return False
    return column.numbers is None or bool(_words(column.name) & _TIME_WORDS)


def _tasks(columns: Sequence[LogColumn]) -> list[Guess]:
    """Tasks, the click first; a label that is 0 without a click counts among clicked rows."""
    flags = [column for column in columns if _is_flag(column)]
    labels = [column for column in flags if _words(column.name) & _OUTCOME_WORDS]
    watched = [column for column in columns if _is_watch_time(column)]
    why = "holds 0 and 1, and is named like an outcome"
    if not labels and not watched and flags:
        labels, why = flags[-1:], "the last column of 0 and 1, not named like an outcome"
    labels.sort(key=lambda column: not _is_click(column))
    click = labels[0] if labels and _is_click(labels[0]) else None
    tasks = []
    for column in labels:
        fields: dict[str, Any] = {"name": _task_name(column.name), "label": {"column": column.name}}
        tasks.append(_among_clicked(Guess(column.name, "task", fields, why), column, click))
    for column in watched:
        fields = {
            "name": _field_name(column.name),
            "kind": "regression",
            "label": {"column": column.name, "minimum": 0},
            "loss": "weighted_logistic",
        }
        named = Guess(column.name, "task", fields, "holds numbers, and is named like watch time")
        tasks.append(_among_clicked(named, column, click))
    return tasks


def _among_clicked(task: Guess, column: LogColumn, click: LogColumn | None) -> Guess:
    if click is None or column is click or column.numbers is None or click.numbers is None:
        return task
    if not np.all(click.numbers[column.numbers > 0] == 1):
        return task
    fields = {**task.fields, "trained_where": _task_name(click.name)}
    return replace(task, fields=fields, why=f"{task.why}; is 0 wherever {click.name} is 0")


def _is_click(column: LogColumn) -> bool:
    return _is_flag(column) and bool(_words(column.name) & _CLICK_WORDS)


def _is_flag(column: LogColumn) -> bool:
    if column.numbers is None:
        return False
    known = column.numbers[~np.isnan(column.numbers)]
    return set(np.unique(known)) == {0.0, 1.0}


def _is_watch_time(column: LogColumn) -> bool:
    words = _words(column.name)
    if column.numbers is None or not (words & _WATCH_WORDS and words & _DURATION_WORDS):
        return False
    known = column.numbers[~np.isnan(column.numbers)]
    return bool(known.min() >= 0 and len(np.unique(known)) > 2)


def _known_after(column: LogColumn, click: LogColumn | None) -> Guess | None:
    """Leaves out a column with values in clicked rows only: a request cannot have them."""
    if click is None or click.numbers is None:
        return None
    says_something = np.asarray(column.lists.is_valid())
    if column.numbers is not None:
        says_something &= column.numbers != 0
    if says_something.sum() < _ROWS_THAT_TELL or not np.all(click.numbers[says_something] == 1):
        return None
    return _left_out(column, f"is 0 or missing wherever {click.name} is 0: is it known before?")


def _feature(column: LogColumn) -> Guess:
    words, num_terms = _words(column.name), len(column.terms)
    present = column.num_rows - column.num_missing
    if words & _VISIT_WORDS and (words & _ID_WORDS or len(words) == 1):
        return _left_out(column, "names a row or a visit, which does not come again")
    fields: dict[str, Any] = {"name": _field_name(column.name)}
    if fields["name"] != column.name:
        fields["column"] = column.name
    is_code = bool(words & _ID_WORDS) or column.has_leading_zeros
    if column.numbers is not None and not is_code:
        return _number(column.name, column.numbers[~np.isnan(column.numbers)], fields)
    if not column.is_list and present >= _ROWS_THAT_TELL and num_terms > _NEARLY_ALL * present:
        return _left_out(column, "holds another text in nearly every row")
    if column.is_list:
        is_past = bool(words & _PAST_WORDS)
        fields["kind"] = "sequence" if is_past else "multivalent"
        if column.separator is not None:
            fields["separator"] = column.separator
        what = "several terms a row" + (", named like a history" if is_past else "")
    else:
        fields["kind"] = "categorical"
        what = "one term a row" + (", a code" if column.numbers is not None else "")
    ids = _ids(num_terms, _FEW_IDS if words & _ID_WORDS else _FEW_TERMS)
    return Guess(column.name, "feature", {**fields, **ids}, f"{what}; {num_terms:,} terms seen")


def _number(name: str, known: np.ndarray, fields: dict[str, Any]) -> Guess:
    fields["kind"] = "dense"
    what = "numbers"
    # Mean far above the median: a few large values, which a logarithm brings near the rest.
    if known.min() >= 0 and known.mean() > 2 * np.median(known) > 0:
        fields["transform"] = "log1p"
        what = "numbers, a few of them large"
    return Guess(name, "feature", fields, what)


def _ids(num_terms: int, few: int) -> dict[str, Any]:
    if num_terms <= few:
        width = next(width for most, width in _EMBEDDING_DIMS if num_terms <= most)
        return {"vocabulary": {}, "embedding_dim": width}
    # Ten ids for each term of the sample: the rest of the log has more.
    buckets = next((b for b in _HASH_BUCKETS if b >= 10 * num_terms), _HASH_BUCKETS[-1])
    return {"hash_buckets": buckets, "embedding_dim": _HASHED_EMBEDDING_DIM}


def _share(guesses: Sequence[Guess], sample: LogSample) -> list[Guess]:
    """Lets a sequence share the ids of the categorical feature whose terms it holds."""
    singles = [each for each in guesses if each.kind == "categorical"]
    return [
        _with_shared_ids(each, singles, sample) if each.kind == "sequence" else each
        for each in guesses
    ]


def _with_shared_ids(sequence: Guess, singles: Sequence[Guess], sample: LogSample) -> Guess:
    terms = sample.columns[sequence.column].terms
    for single in singles:
        known = pc.is_in(terms, sample.columns[single.column].terms)
        if pc.mean(known).as_py() >= _SHARED_TERMS:
            own = ("name", "column", "kind", "separator")
            fields = {field: sequence.fields[field] for field in own if field in sequence.fields}
            fields |= {"shares": single.fields["name"], "pooling": "attention"}
            why = f"{sequence.why}, most of them those of {single.column}"
            return replace(sequence, fields=fields, why=why)
    return sequence


def _with_unique_names(guesses: Sequence[Guess]) -> list[Guess]:
    """Numbers the names that two columns, or a column and a missing flag, would share."""
    dense = [each.fields["name"] for each in guesses if each.kind == "dense"]
    used_names = {"feature": {f"{name}_missing" for name in dense}, "task": set()}
    named = []
    for each in guesses:
        if each.role in used_names:
            own_name, names = each.fields["name"], used_names[each.role]
            variants = (f"{own_name}_{number}" for number in count(2))
            name = next(name for name in chain([own_name], variants) if name not in names)
            names.add(name)
            fields = {**each.fields, "name": name}
            if each.role == "feature" and name != each.column:
                fields["column"] = each.column
            each = replace(each, fields=fields)
        named.append(each)
    return named


def _words(name: str) -> set[str]:
    return set(_parts(name))


def _parts(name: str) -> list[str]:
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return re.findall(r"[a-z]+", spaced.lower())


def _task_name(name: str) -> str:
    """Name of a label's task: `click` for `is_clicked` and `clicked`."""
    words = [word for word in _parts(name) if word not in ("is", "has", "label", "did")]
    return "_".join(_STEMS.get(word, word) for word in words)[:64] or _field_name(name)


def _field_name(name: str) -> str:
    """Name of a column's feature: the column's own, without forbidden characters."""
    text = re.sub(r"[^A-Za-z0-9_]", "_", name).lstrip("_0123456789")
    return text[:64] or "column"
