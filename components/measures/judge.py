"""Which changes are told: an alert, or silence.

A change is told where it is *shown* to be larger than what is ordinary by more than its threshold.

* Ordinary is the largest of the same changes between one of the spans that are compared with and
  the others of them. So a weekday, a feed whose items live for a day, and users whose rows are not
  independent say themselves how much they move, and the day after a strange one is not told again.
  With one such span nothing is known of it, and it counts as 0.
* Shown means that the whole interval of the change lies beyond that. The chance to be wrong,
  1 - confidence, is shared evenly by all changes that are judged (Bonferroni), as in the gate of an
  evaluation: however many columns there are, a day on which nothing changed stays quiet.

A change with too few rows for an interval is never shown.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from taskroute.components.measures.change import Change, change, level
from taskroute.components.measures.day_records import JudgedChange
from taskroute.components.measures.histogram import Histogram
from taskroute.components.measures.tables import MEASURES, Key, Tables
from taskroute.schemas.monitoring import Monitoring

Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Compared:
    """The tables of one signal of a column or task, and what lies between them."""

    key: Key
    threshold: float
    since: Mapping[str, Table]
    now: Table
    found: Change
    ordinary: float

    @property
    def all_since(self) -> Table:
        return _sum(self.since.values())


def judge(
    since: Mapping[str, Tables],
    now: str,
    tables: Tables,
    monitoring: Monitoring,
    histograms: Sequence[Histogram],
    confidence: float,
) -> tuple[JudgedChange, ...]:
    """Every change that has a threshold: alerts first, then those that come nearest to one.

    Args:
        since: Tables by span that is compared with, oldest first.
        now: Name of the span, or of the log, that is compared.
        tables: Its tables.
        monitoring: The thresholds.
        histograms: Say which values moved.
        confidence: Of all that is judged here, together.
    """
    compared = list(_compare(since, tables, monitoring))
    num_judged = sum(one.found.spread is not None for one in compared)
    shared = 1 - (1 - confidence) / max(num_judged, 1)
    window = " to ".join(dict.fromkeys((next(iter(since)), list(since)[-1])))
    by_column = {histogram.column: histogram for histogram in histograms}
    judged = [_judge(one, window, now, by_column, shared) for one in compared]
    return tuple(
        sorted(
            judged,
            key=lambda one: (not one.alert, -one.shown / one.limit, -abs(one.change or 0.0)),
        )
    )


def _compare(
    since: Mapping[str, Tables], tables: Tables, monitoring: Monitoring
) -> Iterator[_Compared]:
    for key, now in tables.items():
        signal, name = key
        threshold = monitoring.threshold(signal, name)
        of_key = {span: of_span[key] for span, of_span in since.items() if key in of_span}
        if threshold is None or not of_key:
            continue
        measure, total = MEASURES[signal], _sum(of_key.values())
        # Of a single span there are no others, and one of few rows says nothing.
        among = (change(measure, total - one, one) for one in of_key.values())
        ordinary = max((abs(one.value) for one in among if one.spread is not None), default=0.0)
        yield _Compared(key, threshold, of_key, now, change(measure, total, now), ordinary)


def _judge(
    one: _Compared,
    window: str,
    now: str,
    histograms: Mapping[str, Histogram],
    confidence: float,
) -> JudgedChange:
    signal, name = one.key
    measure = MEASURES[signal]
    levels = {span: level(measure, table) for span, table in {**one.since, now: one.now}.items()}
    low = high = None
    if one.found.spread is not None:
        low, high = one.found.spread.interval(one.found.value, confidence)
    judged = JudgedChange(
        signal=signal,
        name=name,
        since=window,
        now=now,
        before=level(measure, one.all_since),
        levels={span: value for span, value in levels.items() if value is not None},
        change=one.found.value if np.isfinite(one.found.value) else None,
        low=low,
        high=high,
        ordinary=one.ordinary,
        threshold=one.threshold,
        alert=False,
        moved=_what_moved(histograms[name], one) if signal in ("drift", "skew") else "",
    )
    return judged.model_copy(update={"alert": judged.shown > judged.limit})


def _what_moved(histogram: Histogram, one: _Compared) -> str:
    before, after = (counts.sum(axis=0) for counts in (one.all_since, one.now))
    if not before.sum() or not after.sum():
        return ""
    before, after = before / before.sum(), after / after.sum()
    cell = int(np.argmax(np.abs(after - before)))
    return f"{histogram.name(cell)}: {after[cell]:.1%} of the values, before {before[cell]:.1%}"


def _sum(tables: Iterable[Table]) -> Table:
    return np.sum(list(tables), axis=0)
