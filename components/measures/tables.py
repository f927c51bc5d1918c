"""Tables of counts, one for each signal of a column or task; tables of shards add up.

A table is float64 (G, C), a row for each jackknife group; `change` compares two of them.

Shape letters: N rows, V values, G jackknife groups, C cells.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.components.logs.hashes import hash_texts
from taskroute.components.measures.histogram import cells_of, prediction_cells
from taskroute.components.measures.jackknife import NUM_GROUPS
from taskroute.components.measures.vocabularies import is_known
from taskroute.schemas.change_record import Histogram
from taskroute.schemas.monitoring import Signal

Key = tuple[Signal, str]
Tables = dict[Key, npt.NDArray[np.float64]]
Groups = npt.NDArray[np.int64]

# Name of the rows of a log without spans.
NO_SPAN = "the log"

# Signals of the distance between distributions, by the two sets of rows that are compared.
SPLIT_SIGNALS: Mapping[Signal, Signal] = {"drift": "split_shift"}
SERVING_SIGNALS: Mapping[Signal, Signal] = {"drift": "skew", "missing": "missing"}

_OF_THE_MODEL: tuple[Signal, ...] = ("oov", "prediction_mean", "prediction_drift", "calibration")


@dataclass(frozen=True)
class ColumnPlan:
    """Columns of the log to count: plain data, for any worker.

    Attributes:
        histograms: Histograms of the columns that features read.
        label_columns: Columns of labels and weights.
        vocabularies: Ascending hashes of the served model's terms, by column; a column whose ids
            are hashes has none.
        group_key: Column of the unit, if any.
    """

    histograms: tuple[Histogram, ...]
    label_columns: tuple[str, ...] = ()
    vocabularies: Mapping[str, npt.NDArray[np.uint64]] = field(default_factory=dict)
    group_key: str | None = None


def groups_of(plan: ColumnPlan, batch: pa.RecordBatch, rows: npt.NDArray[np.uint64]) -> Groups:
    """(N,) jackknife group of each row: of its unit, or of the row where it has no unit.

    Args:
        plan: Names the column of the unit.
        batch: Rows; columns are lists, null where missing.
        rows: (N,) hash of each row.
    """
    units = rows
    if plan.group_key is not None:
        lists = batch[plan.group_key]
        values, is_there = lists.flatten(), _lengths(lists) > 0
        if not pa.types.is_binary(values.type):
            values = values.cast(pa.string())
        units = rows.copy()
        units[is_there] = hash_texts(values)
    return (units % np.uint64(NUM_GROUPS)).astype(np.int64)


def count_columns(plan: ColumnPlan, batch: pa.RecordBatch, groups: Groups) -> Tables:
    """Counts the columns of a batch; columns are lists, null where missing."""
    tables: Tables = {}
    for histogram in plan.histograms:
        name, lists = histogram.column, batch[histogram.column]
        lengths = _lengths(lists)
        values, value_groups = lists.flatten(), np.repeat(groups, lengths)
        tables["missing", name] = _part_and_whole(lengths == 0, groups)
        tables["drift", name] = _by_cell(
            cells_of(histogram, values), value_groups, histogram.num_cells
        )
        if name in plan.vocabularies:
            known = is_known(hash_texts(values), plan.vocabularies[name])
            tables["oov", name] = _part_and_whole(~known, value_groups)
    for name in plan.label_columns:
        tables["label_delay", name] = _part_and_whole(_lengths(batch[name]) == 0, groups)
    return tables


def count_task(
    task: str,
    kind: str,
    labels: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    predictions: npt.NDArray[np.float64] | None,
    groups: Groups,
) -> Tables:
    """Counts labels and predictions of a task.

    Args:
        task: Name of the task.
        kind: `binary` or `regression`.
        labels: (N,), in the unit of the label's column.
        weights: (N,); 0 where a row does not count, or has no label yet.
        predictions: (N,), by the served model; None where there is none. Invalid ones are left out.
        groups: (N,), jackknife group of each row.
    """
    counts = weights > 0
    actual = np.where(counts, labels, 0.0) * weights
    tables: Tables = {("label_rate", task): _sums([actual, weights], groups)}
    if predictions is None:
        return tables
    valid = np.isfinite(predictions)
    if kind == "binary":
        valid &= (predictions >= 0) & (predictions <= 1)
    predictions, groups = predictions[valid], groups[valid]
    weights, actual = weights[valid], actual[valid]
    cells, num_cells = prediction_cells(kind, predictions)
    tables["prediction_mean", task] = _sums([predictions, np.ones(len(groups))], groups)
    tables["prediction_drift", task] = _by_cell(cells, groups, num_cells)
    tables["calibration", task] = _sums([predictions * weights, actual], groups)
    return tables


def add(tables: Iterable[Tables]) -> Tables:
    """Sums tables, key by key."""
    total: Tables = {}
    for one in tables:
        for key, table in one.items():
            total[key] = total[key] + table if key in total else table
    return total


def select(tables: Tables, signals: Mapping[Signal, Signal]) -> Tables:
    """Selects tables of some signals, renamed as in another comparison."""
    return {
        (signals[signal], name): table
        for (signal, name), table in tables.items()
        if signal in signals
    }


def num_rows(tables: Tables) -> int:
    """Number of counted rows."""
    (_, whole), *_ = (table.sum(axis=0) for key, table in tables.items() if key[0] == "missing")
    return int(whole)


def has_predictions(tables: Mapping[str, Tables]) -> bool:
    """Whether every span has counted predictions."""
    return all(
        any(key[0] == "prediction_mean" for key in span_tables) for span_tables in tables.values()
    )


def without_model(tables: Tables) -> Tables:
    """Tables that need no served model."""
    return {key: table for key, table in tables.items() if key[0] not in _OF_THE_MODEL}


def in_order(spans: Iterable[str]) -> list[str]:
    """Names of spans, days or numbers without leading zeros, oldest first."""
    return sorted(spans, key=lambda span: (len(span), span))


def _lengths(lists: pa.Array) -> npt.NDArray[np.int64]:
    return np.asarray(pc.fill_null(lists.value_lengths(), 0)).astype(np.int64)


def _part_and_whole(part: npt.NDArray[np.bool_], groups: Groups) -> npt.NDArray[np.float64]:
    return _sums([part.astype(np.float64), np.ones(len(part))], groups)


def _sums(columns: Sequence[npt.NDArray[np.float64]], groups: Groups) -> npt.NDArray[np.float64]:
    return np.stack([np.bincount(groups, column, NUM_GROUPS) for column in columns], axis=1)


def _by_cell(
    cells: npt.NDArray[np.int64], groups: Groups, num_cells: int
) -> npt.NDArray[np.float64]:
    counts = np.bincount(groups * num_cells + cells, minlength=NUM_GROUPS * num_cells)
    return counts.reshape(NUM_GROUPS, num_cells).astype(np.float64)
