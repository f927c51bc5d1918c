"""Judges changes: an alert, or silence.

A change alerts where it is *shown* to exceed the ordinary change by more than its threshold.

* The ordinary change is the largest change between one reference span and the other reference
  spans. It covers weekdays, feeds whose items live for a day, and users whose rows are not
  independent; and the day after a strange one raises no second alert. With a single reference span
  it is unknown and counts as 0.
* A change is shown where its whole interval lies beyond that limit. The chance of a false alert,
  1 - confidence, is shared evenly by all judged changes (Bonferroni), as in the gate of an
  evaluation: however many columns there are, a day without a change stays quiet.

A change with too few rows for an interval is never shown.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from taskroute.components.measures.change import Change, change, level
from taskroute.components.measures.tables import Key, Tables
from taskroute.schemas.change_record import MEASURES, Histogram, JudgedChange
from taskroute.schemas.errors import DataError
from taskroute.schemas.monitoring import Limit, Monitoring

Table = npt.NDArray[np.float64]

# Signals whose tables have the cells of a column's histogram.
_OF_VALUES = ("drift", "split_shift", "skew")


@dataclass(frozen=True)
class _Comparison:
    """Tables of one signal of a column or task, by span, split or log, and the change."""

    key: Key
    limit: Limit
    since: Mapping[str, Table]
    now: str
    table: Table
    change: Change
    ordinary: float

    @property
    def all_since(self) -> Table:
        return _sum(self.since.values())


def judge(
    since: Mapping[str, Tables],
    now: Mapping[str, Tables],
    monitoring: Monitoring,
    histograms: Sequence[Histogram],
    confidence: float,
) -> tuple[JudgedChange, ...]:
    """Judges every change that has a limit; returns alerts first, then by closeness to an alert.

    A table is compared with the tables of the same signal and name in `since`.

    Args:
        since: Tables of the reference, by span or split, oldest first.
        now: Tables to judge, by span, split or log.
        monitoring: The limits.
        histograms: Cells of the columns; alerts name the values that moved by them.
        confidence: Confidence level of all alerts together.
    """
    compared = [
        one for name, tables in now.items() for one in _compare(since, name, tables, monitoring)
    ]
    num_judged = sum(one.change.spread is not None for one in compared)
    shared = 1 - (1 - confidence) / max(num_judged, 1)
    by_column = {histogram.column: histogram for histogram in histograms}
    return tuple(
        sorted(
            (_judge(one, by_column, shared) for one in compared),
            key=lambda one: (not one.alert, -one.shown / one.limit, -abs(one.change or 0.0)),
        )
    )


def refuse_changes(changes: Iterable[JudgedChange]) -> None:
    """Passes, or raises the first alert whose limit has `stop: true`.

    Raises:
        DataError: Names the column or task, the change, the limit and where to raise it.
    """
    for one in changes:
        if one.alert and one.stop:
            raise DataError(
                f"{one.sentence}: its limit has `stop: true`; look at the log, or raise "
                f"`monitoring.{one.about}s.{one.name}.{one.signal}` if the change is meant"
            )


def _compare(
    since: Mapping[str, Tables], now: str, tables: Tables, monitoring: Monitoring
) -> Iterator[_Comparison]:
    for key, table in tables.items():
        signal, name = key
        limit = monitoring.limit(signal, name)
        earlier = {span: counts[key] for span, counts in since.items() if key in counts}
        if limit is None or not earlier:
            continue
        measure, total = MEASURES[signal], _sum(earlier.values())
        # A single span has no others, and one of few rows says nothing.
        among = (change(measure, total - one, one) for one in earlier.values())
        ordinary = max((abs(one.value) for one in among if one.spread is not None), default=0.0)
        yield _Comparison(key, limit, earlier, now, table, change(measure, total, table), ordinary)


def _judge(
    one: _Comparison, histograms: Mapping[str, Histogram], confidence: float
) -> JudgedChange:
    signal, name = one.key
    measure, spans = MEASURES[signal], list(one.since)
    levels = {
        span: level(measure, table) for span, table in {**one.since, one.now: one.table}.items()
    }
    low = high = None
    if one.change.spread is not None:
        low, high = one.change.spread.interval(one.change.value, confidence)
    result = JudgedChange(
        signal=signal,
        name=name,
        since=" to ".join(dict.fromkeys((spans[0], spans[-1]))),
        now=one.now,
        before=level(measure, one.all_since),
        levels={span: value for span, value in levels.items() if value is not None},
        change=one.change.value if np.isfinite(one.change.value) else None,
        low=low,
        high=high,
        ordinary=one.ordinary,
        threshold=one.limit.threshold,
        stop=one.limit.stop,
        alert=False,
        moved=_what_moved(histograms[name], one) if signal in _OF_VALUES else "",
    )
    return result.model_copy(update={"alert": result.shown > result.limit})


def _what_moved(histogram: Histogram, one: _Comparison) -> str:
    before, after = (counts.sum(axis=0) for counts in (one.all_since, one.table))
    if not before.sum() or not after.sum():
        return ""
    before, after = before / before.sum(), after / after.sum()
    cell = int(np.argmax(np.abs(after - before)))
    return f"{histogram.name(cell)}: {after[cell]:.1%} of the values, before {before[cell]:.1%}"


def _sum(tables: Iterable[Table]) -> Table:
    return np.sum(list(tables), axis=0)
