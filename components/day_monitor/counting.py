"""Counts the rows of the window: the Beam side, a shard at a time."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from taskroute.components.logs.examples import read_batches
from taskroute.components.measures.day_records import write_tables
from taskroute.components.measures.rows import row_hashes
from taskroute.components.measures.scoring import ServedModel, TaskRowMaker
from taskroute.components.measures.tables import (
    SPLIT_SIGNALS,
    ColumnPlan,
    Tables,
    add,
    count_columns,
    count_task,
    groups_of,
    select,
)
from taskroute.schemas.tasks import Task

# The test split is compared with the train split.
SHIFTED_SPLITS = ("train", "test")

_LOG = logging.getLogger(__name__)

# Errors of a served model of another version, or of other columns.
_CANNOT_SCORE = (OSError, ValueError, KeyError, tf.errors.OpError)

# Name of the span, None of a file without one in a log of spans; split; number of the file; path.
Shard = tuple[str | None, str, int, str]


@dataclass(frozen=True)
class CountingPlan:
    """Plan of a count: rows and quantities, as plain data for any worker.

    Attributes:
        counted: Quantities to count.
        tasks: Tasks whose labels and predictions are counted, if any.
        transform_graph: Folder of the graph that makes labels and weights.
        served: Folder of the model whose predictions are counted, if any.
        every: Number of rows of which one is counted.
    """

    counted: ColumnPlan
    tasks: tuple[Task, ...]
    transform_graph: str
    served: str | None
    every: int


def count(
    pipeline: beam.Pipeline, plan: CountingPlan, shards: Sequence[Shard], folder: Path
) -> None:
    """Adds the counting of shards, and the tables of spans and splits, to `pipeline`."""
    _ = (
        pipeline
        | "Shards" >> beam.Create(list(shards))
        | "ToWorkers" >> beam.Reshuffle()
        | "Count" >> beam.ParDo(_CountShard(plan))
        | "Add" >> beam.CombinePerKey(add)
        | "Gather" >> beam.combiners.ToList()
        | "Write" >> beam.Map(lambda tables: write_tables(folder, dict(tables)))
    )


class _CountShard(beam.DoFn):
    """Gives the tables of a shard behind the names of its span and of its split."""

    def __init__(self, plan: CountingPlan):
        super().__init__()
        self._plan = plan
        self._tasks: _TaskCounter | None = None

    def process(self, shard: Shard) -> Iterator[tuple[str, Tables]]:
        span, split, number, path = shard
        plan = self._plan
        if plan.tasks and self._tasks is None:
            self._tasks = _TaskCounter(plan)
        start = 0
        for batch in _every_nth_row(path, plan.every):
            rows = row_hashes(number, start, batch.num_rows)
            start += batch.num_rows
            groups = groups_of(plan.counted, batch, rows)
            tables = count_columns(plan.counted, batch, groups)
            if split in SHIFTED_SPLITS:
                yield split, select(tables, SPLIT_SIGNALS)
            if span is None:
                continue
            if self._tasks is not None:
                tables |= self._tasks.count(batch, rows, groups)
            yield span, tables

    def teardown(self) -> None:
        self._tasks = None


def _every_nth_row(path: str, every: int) -> Iterator[pa.RecordBatch]:
    """Rows 0, `every`, 2 `every` and so on of a shard, in batches that are not empty."""
    seen = 0
    for batch in read_batches(path):
        chosen = np.arange(-seen % every, len(batch), every)
        seen += len(batch)
        if len(chosen):
            yield batch.take(pa.array(chosen))


class _TaskCounter:
    """Counts labels, and predictions of the served model as long as that can score the rows."""

    def __init__(self, plan: CountingPlan):
        self._task_rows = TaskRowMaker(plan.tasks, plan.transform_graph)
        self._served: ServedModel | None = None
        if plan.served is not None:
            try:
                self._served = ServedModel(plan.served)
            except _CANNOT_SCORE:
                _LOG.exception("%s: cannot be loaded", plan.served)

    def count(
        self, batch: pa.RecordBatch, rows: npt.NDArray[np.uint64], groups: npt.NDArray[np.int64]
    ) -> Tables:
        scores = []
        if self._served is not None:
            try:
                scores.append(self._served.score(batch))
            except _CANNOT_SCORE:
                _LOG.exception("the model that serves cannot score the rows")
                self._served = None
        tables: Tables = {}
        for name, of_task in self._task_rows(batch, scores, rows).items():
            predictions = of_task.predictions[0] if len(of_task.predictions) else None
            tables |= count_task(
                name, of_task.kind, of_task.labels, of_task.weights, predictions, groups
            )
        return tables
