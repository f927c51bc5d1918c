"""Work of a Beam worker on one part of the log: counting its seconds, or writing its shards."""

import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from taskroute.components.log_example_gen.shards import ShardWriter
from taskroute.components.logs import conversions, labels, log_reader, splits
from taskroute.components.logs.bad_rows import BadRowCounts, BadRowWriter
from taskroute.components.logs.hashes import hash_texts
from taskroute.components.logs.labels import LabelCounts
from taskroute.components.logs.log_batch import LogBatch, RowCheck
from taskroute.components.logs.log_reader import Part
from taskroute.components.logs.missing_columns import ColumnCounts
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import SPLITS, Source
from taskroute.schemas.tasks import Task

_SEED = 20_190_127
_NO_SPLIT = -1

Report = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """One piece of work; `index` orders the shards, whoever writes them first."""

    index: int
    part: Part
    is_test: bool


@dataclass(frozen=True)
class CountSeconds:
    """First pass of a split by time: rows per second of one part, kept in a file.

    The report holds its name (`file`), and `rows` and `bad_rows` as far as timestamps tell.
    """

    source: Source
    folder: Path

    def __call__(self, item: Item) -> Report:
        source, bad = self.source, BadRowCounts()
        columns = [RawColumn(split_column(source), "text", need="every_file")]
        seconds, counts = splits.merge_counts(
            self._count(batch, bad)
            for batch in log_reader.read_batches(item.part, columns, source.format, source.csv)
        )
        file = self.folder / f"{uuid.uuid4()}.npz"
        np.savez(file, seconds=seconds, counts=counts)
        rows = int(counts.sum()) + bad.total
        return {"file": file.name, "rows": rows, "bad_rows": bad.to_json()}

    def _count(self, batch: LogBatch, bad: BadRowCounts) -> tuple[np.ndarray, np.ndarray]:
        check = RowCheck(batch)
        seconds = check.seconds(split_column(self.source), self.source.timestamp_format)
        bad.add(check.bad_rows)
        return np.unique(seconds[check.is_good], return_counts=True)


@dataclass(frozen=True)
class WriteShards:
    """Reads one part, assigns its rows to splits, and writes a shard or more for each.

    Bad rows go to a file of their own. The report holds `rows`, the good and the bad; `shards`,
    each with `split`, `file` and `rows`; `bad_rows` and `bad_rows_file`; `columns`, the
    ColumnCounts; `labels`, the LabelCounts by split and task; and `times`, the first and last
    second by split, of a split by time.
    """

    source: Source
    columns: tuple[RawColumn, ...]
    tasks: tuple[Task, ...]
    cutoffs: splits.Cutoffs | None
    folder: Path

    def __call__(self, item: Item) -> Report:
        bad = BadRowWriter(self.folder)
        own = [column for column in self.columns if column.need != "no_file"]
        others = [column for column in self.columns if column.need == "no_file"]
        counts = {split: {task.name: LabelCounts() for task in self.tasks} for split in SPLITS}
        times: dict[str, tuple[int, int]] = {}
        rows_read, column_counts = 0, ColumnCounts()
        writers = [ShardWriter(self.folder, split) for split in SPLITS]
        batches = log_reader.read_batches(
            item.part, self._columns_to_read(item), self.source.format, self.source.csv
        )
        for number, batch in enumerate(batches):
            rows_read += batch.num_counted
            column_counts.add_batch(batch)
            check = RowCheck(batch)
            examples = check.convert(own)
            seconds = self._seconds(item, check)
            split_of_row = self._split(item, check, seconds)
            roles = labels.read_labels(check, examples, self.tasks)
            split_of_row[~check.is_good] = _NO_SPLIT
            bad.write(check.bad_rows)
            for column in others:
                examples = examples.append_column(column.stored, _where_good(batch, column))
            for code, (split, of_split) in enumerate(counts.items()):
                chosen = split_of_row == code
                for task, role in roles.items():
                    of_split[task] += labels.count_labels(role[chosen])
                if seconds is not None and chosen.any():
                    times[split] = _extend(times.get(split), seconds[chosen])
            # Logs are sorted by time; training shuffles over a window of rows only.
            order = np.random.default_rng((_SEED, item.index, number)).permutation(batch.num_rows)
            for code, writer in enumerate(writers):
                column_counts.add_values(SPLITS[code], examples, split_of_row == code)
                writer.write(examples.take(pa.array(order[split_of_row[order] == code])))
        for writer in writers:
            writer.close()
        shards = [shard for writer in writers for shard in writer.shards]
        rows_written = sum(shard["rows"] for shard in shards)
        _require_all_rows(item.part, rows_read, rows_written, bad.counts.total)
        return {
            "rows": rows_read,
            "shards": shards,
            "bad_rows": bad.counts.to_json(),
            "bad_rows_file": bad.file,
            "columns": column_counts.to_json(),
            "labels": {
                split: {task: asdict(count) for task, count in of_split.items()}
                for split, of_split in counts.items()
            },
            "times": times,
        }

    def _columns_to_read(self, item: Item) -> list[RawColumn]:
        if item.is_test:
            return list(self.columns)
        return [*self.columns, RawColumn(split_column(self.source), "text", need="every_file")]

    def _seconds(self, item: Item, check: RowCheck) -> np.ndarray | None:
        """(N,) int64, times of the rows; None where they do not decide the split."""
        if item.is_test or self.cutoffs is None:
            return None
        return check.seconds(split_column(self.source), self.source.timestamp_format)

    def _split(self, item: Item, check: RowCheck, seconds: np.ndarray | None) -> np.ndarray:
        """(N,) index into SPLITS, int8; of a bad row it means nothing."""
        if item.is_test:
            return np.full(check.batch.num_rows, SPLITS.index("test"), np.int8)
        if self.cutoffs is not None and seconds is not None:
            return splits.split_by_time(seconds, self.cutoffs)
        split, keys = self.source.split, check.keys(split_column(self.source))
        return splits.split_by_hash(hash_texts(keys), split.validation, split.test)


def _where_good(batch: LogBatch, column: RawColumn) -> pa.Array:
    """Values of a column that no good row needs: missing where they are bad."""
    check = RowCheck(batch)
    try:
        values = check.convert([column])[column.name]
    except DataError:  # lists or objects, as a whole
        values = conversions.convert(pa.nulls(batch.num_rows), column)
    return values.take(pa.array(np.arange(len(values)), mask=~check.is_good))


def split_column(source: Source) -> str:
    """Column that decides a row's split; Source requires one."""
    return cast(str, source.timestamp if source.split.by == "time" else source.split.key)


def _extend(known: tuple[int, int] | None, seconds: np.ndarray) -> tuple[int, int]:
    """First and last second of those known and of more."""
    first, last = int(seconds.min()), int(seconds.max())
    return (first, last) if known is None else (min(first, known[0]), max(last, known[1]))


def _require_all_rows(part: Part, rows_read: int, rows_written: int, rows_bad: int) -> None:
    """Checks that no row is lost, whatever the reader and the writer do."""
    if rows_written + rows_bad != rows_read or part.num_rows not in (None, rows_read):
        raise RuntimeError(
            f"{part.file}: {rows_read} rows were read, {rows_written} written and {rows_bad} "
            f"quarantined, of {part.num_rows} in the file"
        )
