"""What each column of a log may be for: its time, a label, a feature, or nothing.

Names decide what values cannot tell: whether a 0 or 1 is an outcome, whether seconds were watched.
The words are English.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
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

_FEW_TERMS, _FEW_IDS = 1_000, 100  # of ids more come with every day
# A table that is no wider than it must be for the few rows of a start.
_EMBEDDING_DIMS = ((20, 4), (_FEW_TERMS, 8))
_HASHED_EMBEDDING_DIM = 16
_ROWS_THAT_TELL = 100
_NEARLY_ALL = 0.9
_SHARED_TERMS = 0.5
_HASH_BUCKETS = (10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)

Role = Literal["time", "task", "feature", "left out"]


@dataclass(frozen=True)
class Guess:
    """What a column is for.

    Attributes:
        column: Its name.
        role: In a word.
        fields: Of the task or the feature, as the config has them.
        why: What it was guessed from, for the person who knows better.
    """

    column: str
    role: Role
    fields: dict[str, Any]
    why: str

    @property
    def kind(self) -> str:
        return self.fields.get("kind", "binary") if self.fields else ""


def guess(sample: LogSample) -> list[Guess]:
    """One guess a column, in the order of the log.

    Raises:
        DataError: If no column looks like a label, or none like a feature.
    """
    found: dict[str, Guess] = {}
    for column in sample.columns.values():
        reason = useless(column)
        if reason is not None:
            found[column.name] = Guess(column.name, "left out", {}, reason)
    time = next((c for c in _rest(sample, found) if _is_time(c)), None)
    if time is not None:
        found[time.name] = Guess(time.name, "time", {}, "holds times; the newest rows are test")
    for column in _rest(sample, found):
        if _is_time(column):
            why = "another time; what it says of a row must be a number or a text"
            found[column.name] = Guess(column.name, "left out", {}, why)
    for task in _tasks(_rest(sample, found)):
        found[task.column] = task
    if not any(each.role == "task" for each in found.values()):
        raise DataError(
            "no column holds 0 and 1, and none is named as watch_seconds are, so there is nothing "
            "to predict; add a label, or call `taskroute init` without a log and write `tasks`"
        )
    click = next((c for c in sample.columns.values() if _is_click(c)), None)
    for column in _rest(sample, found):
        found[column.name] = _known_after(column, click) or _feature(column)
    if not any(each.role == "feature" for each in found.values()):
        raise DataError(
            "no column is left to predict from; add what was known before the outcome, such as a "
            "user and an item"
        )
    return _share(_with_names_of_their_own([found[name] for name in sample.columns]), sample)


def group_column(guesses: Sequence[Guess]) -> str | None:
    """The column of the user: a feature of one term a row that is named so."""
    for each in guesses:
        if each.role == "feature" and each.kind == "categorical":
            words = _words(each.column)
            if words & _USER_WORDS and not words - _USER_WORDS - _ID_WORDS:
                return each.column
    return None


def useless(column: LogColumn) -> str | None:
    """Why nothing can be made of a column; None where something can."""
    try:
        TypeAdapter(Column).validate_python(column.name)
    except ValidationError:
        return "a config cannot name it; use letters, digits and _"
    if column.has_objects:
        return "holds objects or lists of them"
    if column.num_missing == column.num_rows:
        return "is missing in every row"
    num_terms = len(column.terms)
    if num_terms == 1 and not column.num_missing:
        return "is the same in every row"
    return None


def _rest(sample: LogSample, found: dict[str, Guess]) -> list[LogColumn]:
    return [column for name, column in sample.columns.items() if name not in found]


def _is_time(column: LogColumn) -> bool:
    if column.seconds is None:
        return False
    return column.numbers is None or bool(_words(column.name) & _TIME_WORDS)


def _tasks(columns: Sequence[LogColumn]) -> list[Guess]:
    """Labels, the click first; a label that is never 1 without it counts among clicked rows."""
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
    return Guess(task.column, "task", fields, f"{task.why}; is 0 wherever {click.name} is 0")


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
    """Leaves out what has a value in clicked rows only: who asks for a score does not know it."""
    if click is None or click.numbers is None:
        return None
    says_something = np.asarray(column.lists.is_valid())
    if column.numbers is not None:
        says_something &= column.numbers != 0
    if says_something.sum() < _ROWS_THAT_TELL or not np.all(click.numbers[says_something] == 1):
        return None
    why = f"is 0 or missing wherever {click.name} is 0: is it known before?"
    return Guess(column.name, "left out", {}, why)


def _feature(column: LogColumn) -> Guess:
    words, num_terms = _words(column.name), len(column.terms)
    present = column.num_rows - column.num_missing
    if words & _VISIT_WORDS and (words & _ID_WORDS or len(words) == 1):
        return Guess(
            column.name, "left out", {}, "names a row or a visit, which does not come again"
        )
    fields: dict[str, Any] = {"name": _field_name(column.name)}
    if fields["name"] != column.name:
        fields["column"] = column.name
    is_code = bool(words & _ID_WORDS) or column.has_leading_zeros
    if column.numbers is not None and not is_code:
        return _number(column.name, column.numbers[~np.isnan(column.numbers)], fields)
    if not column.is_list and present >= _ROWS_THAT_TELL and num_terms > _NEARLY_ALL * present:
        return Guess(column.name, "left out", {}, "holds another text in nearly every row")
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
    # A mean far above the median: a few large values, which a logarithm brings near the rest.
    if known.min() >= 0 and known.mean() > 2 * np.median(known) > 0:
        fields["transform"] = "log1p"
        what = "numbers, a few of them large"
    return Guess(name, "feature", fields, what)


def _ids(num_terms: int, few: int) -> dict[str, Any]:
    if num_terms <= few:
        width = next(width for most, width in _EMBEDDING_DIMS if num_terms <= most)
        return {"vocabulary": {}, "embedding_dim": width}
    # Ten ids for each term that was seen: the rest of the log has more.
    buckets = next((b for b in _HASH_BUCKETS if b >= 10 * num_terms), _HASH_BUCKETS[-1])
    return {"hash_buckets": buckets, "embedding_dim": _HASHED_EMBEDDING_DIM}


def _share(guesses: Sequence[Guess], sample: LogSample) -> list[Guess]:
    """A sequence has the ids of the categorical feature whose terms it holds."""
    singles = [each for each in guesses if each.kind == "categorical"]
    shared = []
    for each in guesses:
        terms = sample.columns[each.column].terms
        for single in singles if each.kind == "sequence" else ():
            known = pc.is_in(terms, sample.columns[single.column].terms)
            if pc.mean(known).as_py() >= _SHARED_TERMS:
                own = ("name", "column", "kind", "separator")
                fields = {field: each.fields[field] for field in own if field in each.fields}
                fields |= {"shares": single.fields["name"], "pooling": "attention"}
                why = f"{each.why}, most of them those of {single.column}"
                each = Guess(each.column, "feature", fields, why)
                break
        shared.append(each)
    return shared


def _with_names_of_their_own(guesses: Sequence[Guess]) -> list[Guess]:
    """Names that two columns would share, or that a number's missing flag has, get a number."""
    numbers = [each.fields["name"] for each in guesses if each.kind == "dense"]
    taken = {"feature": {f"{name}_missing" for name in numbers}, "task": set()}
    named = []
    for each in guesses:
        if each.role not in taken:
            named.append(each)
            continue
        wanted = name = each.fields["name"]
        count = 1
        while name in taken[each.role]:
            count += 1
            name = f"{wanted}_{count}"
        taken[each.role].add(name)
        fields = {**each.fields, "name": name}
        if each.role == "feature" and name != each.column:
            fields["column"] = each.column
        named.append(Guess(each.column, each.role, fields, each.why))
    return named


def _words(name: str) -> set[str]:
    return set(_parts(name))


def _parts(name: str) -> list[str]:
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return re.findall(r"[a-z]+", spaced.lower())


def _task_name(name: str) -> str:
    """`is_clicked` and `clicked` are the task `click`."""
    words = [word for word in _parts(name) if word not in ("is", "has", "label", "did")]
    return "_".join(_STEMS.get(word, word) for word in words)[:64] or _field_name(name)


def _field_name(name: str) -> str:
    """The column's name where it is one for a feature; else as near to it as may be."""
    text = re.sub(r"[^A-Za-z0-9_]", "_", name).lstrip("_0123456789")
    return text[:64] or "column"
