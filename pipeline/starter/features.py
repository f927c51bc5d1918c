"""Guesses of the features: kinds and sizes, and columns that predict nothing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from taskroute.pipeline.starter.columns import LogColumn
from taskroute.pipeline.starter.guess import Guess, left_out
from taskroute.pipeline.starter.tasks import Outcome, is_beyond_chance, is_named_like_an_outcome
from taskroute.pipeline.starter.words import english_name, words

_ID_WORDS = {"code", "hash", "id", "ids", "key", "uid", "uuid", "zip"}
_VISIT_WORDS = {"event", "impression", "log", "request", "row", "session", "trace", "visit"}
USER_WORDS = {"account", "customer", "member", "uid", "user", "viewer", "visitor"}
_ITEM_WORDS = {
    "ad", "advert", "article", "artist", "author", "banner", "book", "brand", "campaign",
    "category", "channel", "creator", "genre", "hotel", "item", "movie", "news", "photo", "post",
    "product", "publisher", "query", "restaurant", "seller", "shop", "song", "store", "track",
    "video",
}  # fmt: skip
_PAST_WORDS = {"history", "last", "past", "previous", "recent", "seq", "sequence"}
_LATER_WORDS = {"after", "future", "later", "next"}
# Small whole numbers of such names are amounts; of others they are codes, such as of a device.
_AMOUNT_WORDS = {
    "age", "amount", "average", "avg", "clicks", "cnt", "count", "day", "days", "depth", "distance",
    "duration", "freq", "frequency", "hours", "level", "length", "likes", "max", "mean", "min",
    "minutes", "n", "num", "number", "past", "position", "price", "qty", "quantity", "rank", "rate",
    "ratio", "score", "seconds", "size", "sum", "times", "total", "views", "years",
}  # fmt: skip

_MOST_CODE = 20
_FEW_TERMS, _FEW_IDS = 1_000, 100  # fewer ids, because new ones come every day
# Largest number of terms for each width.
_EMBEDDING_DIMS = ((20, 4), (_FEW_TERMS, 8))
_HASHED_EMBEDDING_DIM = 16
_ROWS_THAT_TELL = 100
_NEARLY_ALL = 0.9
_SHARED_TERMS = 0.5
_HASH_BUCKETS = (10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)


def named_after(column: LogColumn) -> Guess | None:
    """Leaves out a column that is named like what comes after the row."""
    if words(column.name) & _LATER_WORDS:
        return left_out(column, "is named like what comes after the row: is it known before?")
    return None


def known_after(column: LogColumn, outcomes: Sequence[Outcome]) -> Guess | None:
    """Leaves out a column with values only where a label is 1: a request cannot have them."""
    says_something = np.asarray(column.lists.is_valid())
    if column.numbers is not None:
        says_something = says_something & (column.numbers != 0)
    num_told = int(says_something.sum())
    for outcome in outcomes:
        happened = outcome.happened
        if not outcome.is_condition or np.any(says_something & ~happened):
            continue
        if num_told >= _ROWS_THAT_TELL or is_beyond_chance(num_told, float(happened.mean())):
            label = outcome.guess.column
            return left_out(column, f"is 0 or missing wherever {label} is 0: is it known before?")
    return None


def guess_feature(column: LogColumn, position: int) -> Guess:
    """Feature of a column, or the reason why it is none.

    Args:
        column: Column that is no time and no label.
        position: Its place in the log, from 1.
    """
    named, num_terms = words(column.name), len(column.terms)
    present = column.num_rows - column.num_missing
    if named & _VISIT_WORDS and (named & _ID_WORDS or len(named) == 1):
        return left_out(column, "names a row or a visit, which does not come again")
    if column.has_times and column.numbers is None:
        return left_out(column, "holds times; what they say of a row must be a number or a text")
    fields: dict[str, Any] = {"name": english_name(column.name, position)}
    if fields["name"] != column.name:
        fields["column"] = column.name
    is_named_id = bool(named & _ID_WORDS) or _is_named_thing(named)
    if column.numbers is not None and not (is_named_id or column.has_leading_zeros):
        if _counts_rows(column.numbers):
            return left_out(column, "counts the rows")
        if column.flags is not None or not _is_code(column, named):
            return _number(column, fields)
    if not column.is_list and present >= _ROWS_THAT_TELL and num_terms > _NEARLY_ALL * present:
        return left_out(column, "holds another text in nearly every row")
    if column.is_list:
        is_past = bool(named & _PAST_WORDS)
        fields["kind"] = "sequence" if is_past else "multivalent"
        if column.separator is not None:
            fields["separator"] = column.separator
        what = "several terms a row" + (", named like a history" if is_past else "")
        if not is_past and is_named_like_an_outcome(column.name):
            what += ", named like an outcome: are they of earlier rows?"
    else:
        fields["kind"] = "categorical"
        what = "one term a row" + (", a code" if column.numbers is not None else "")
    ids = _ids(num_terms, _FEW_IDS if named & _ID_WORDS else _FEW_TERMS)
    return Guess(column.name, "feature", {**fields, **ids}, f"{what}; {num_terms:,} terms seen")


def is_user(column: str) -> bool:
    """True if a column is named like a user or the user's id."""
    named = words(column)
    return bool(named & USER_WORDS) and not named - USER_WORDS - _ID_WORDS - {"nr"}


def share_ids(guesses: Sequence[Guess], columns: dict[str, LogColumn]) -> list[Guess]:
    """Lets a sequence share the ids of the categorical feature whose terms it holds."""
    singles = [each for each in guesses if each.kind == "categorical"]
    return [
        _with_shared_ids(each, singles, columns) if each.kind == "sequence" else each
        for each in guesses
    ]


def _is_named_thing(named: set[str]) -> bool:
    """True for `user`, `movie` and `item_nr`: a number of that name is an id."""
    things = USER_WORDS | _ITEM_WORDS
    return bool(named & things) and not named - things - _ID_WORDS - {"nr", "no", "number"}


def _counts_rows(numbers: np.ndarray) -> bool:
    """True if the numbers rise from 0 or 1, each row another."""
    if np.isnan(numbers).any() or len(numbers) < _ROWS_THAT_TELL or numbers[0] not in (0, 1):
        return False
    return bool(np.all(np.diff(numbers) > 0) and np.all(numbers == np.floor(numbers)))


def _is_code(column: LogColumn, named: set[str]) -> bool:
    known = np.unique(column.known)
    is_small = known[0] >= -1 and known[-1] <= _MOST_CODE and np.all(known == np.floor(known))
    return bool(is_small) and len(known) > 2 and not named & _AMOUNT_WORDS


def _number(column: LogColumn, fields: dict[str, Any]) -> Guess:
    known = column.known
    fields["kind"] = "dense"
    what = "numbers"
    # Mean far above the median: a few large values, which a logarithm brings near the rest.
    if known.min() >= 0 and known.mean() > 2 * np.median(known) > 0:
        fields["transform"] = "log1p"
        what = "numbers, a few of them large"
    if column.num_unreadable:
        what += f"; {column.num_unreadable:,} values are none"
    return Guess(column.name, "feature", fields, what)


def _ids(num_terms: int, few: int) -> dict[str, Any]:
    if num_terms <= few:
        width = next(width for most, width in _EMBEDDING_DIMS if num_terms <= most)
        return {"vocabulary": {}, "embedding_dim": width}
    # Ten ids for each term of the sample: the rest of the log has more.
    buckets = next((b for b in _HASH_BUCKETS if b >= 10 * num_terms), _HASH_BUCKETS[-1])
    return {"hash_buckets": buckets, "embedding_dim": _HASHED_EMBEDDING_DIM}


def _with_shared_ids(
    sequence: Guess, singles: Sequence[Guess], columns: dict[str, LogColumn]
) -> Guess:
    terms = columns[sequence.column].terms
    for single in singles:
        known = pc.is_in(terms, columns[single.column].terms)
        if pc.mean(known).as_py() >= _SHARED_TERMS:
            own = ("name", "column", "kind", "separator")
            fields = {field: sequence.fields[field] for field in own if field in sequence.fields}
            fields |= {"shares": single.fields["name"], "pooling": "attention"}
            why = f"{sequence.why}, most of them those of {single.column}"
            return replace(sequence, fields=fields, why=why)
    return sequence
