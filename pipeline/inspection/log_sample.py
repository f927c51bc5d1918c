"""Sample of a log, read as ingestion will read it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from taskroute.components.logs import log_reader
from taskroute.components.logs.bad_rows import BadRowCounts
from taskroute.components.logs.labels import LabelCounts, count_labels, read_labels
from taskroute.components.logs.log_batch import RowCheck
from taskroute.schemas.columns import RawColumn, raw_columns
from taskroute.schemas.findings import Finding
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.source import Source

_SAMPLE_ROWS = 50_000


@dataclass
class LogSample:
    """Rows of the log, and their counts.

    Attributes:
        num_files: Number of files of the whole log.
        num_rows: Number of rows read, the bad ones included.
        is_whole: True if the log has no other rows.
        missing: Number of good rows without a value, by column.
        terms: Distinct terms by column.
        labels: Counts of labels by binary task.
        bad_rows: Counts of bad rows.
        batches: Good rows as raw examples.
        findings: Findings about the rows and the config.
    """

    num_files: int
    num_rows: int = 0
    is_whole: bool = True
    missing: Counter[str] = field(default_factory=Counter)
    terms: dict[str, set[str]] = field(default_factory=dict)
    labels: dict[str, LabelCounts] = field(default_factory=dict)
    bad_rows: BadRowCounts = field(default_factory=BadRowCounts)
    batches: list[pa.RecordBatch] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def examples(self) -> pa.Table:
        """Good rows as raw examples: a list column for each column of the log."""
        return pa.Table.from_batches(self.batches)

    def read(
        self,
        config: RecommenderConfig,
        files: Sequence[str],
        source: Source,
        *,
        is_test: bool = False,
    ) -> None:
        """Adds rows of files; those of `source.test_path` have no column that splits them."""
        columns = raw_columns(config)
        by_time = source.split.by == "time"
        split_column = None if is_test else source.timestamp if by_time else source.split.key
        to_read = [*columns, *([RawColumn(split_column, "text")] if split_column else [])]
        num_rows = 0
        for batch in log_reader.sample_batches(
            files, to_read, source.format, _SAMPLE_ROWS, source.csv
        ):
            num_rows += batch.num_rows + len(batch.passed_over)
            check = RowCheck(batch)
            converted = check.convert(columns)
            if split_column and by_time:
                check.seconds(split_column)
            elif split_column:
                check.keys(split_column)
            labels = read_labels(check, converted, config.tasks)
            good = converted.filter(pa.array(check.is_good))
            self.batches.append(good)
            for column in columns:
                self._count(column, good[column.name])
            for name, values in labels.items():
                counts = count_labels(values[check.is_good])
                self.labels[name] = self.labels.get(name, LabelCounts()) + counts
            self.bad_rows.add(check.bad_rows)
        self.num_rows += num_rows
        self.is_whole &= num_rows < _SAMPLE_ROWS

    def _count(self, column: RawColumn, values: pa.ListArray) -> None:
        lengths = pc.fill_null(pc.list_value_length(values), 0)
        self.missing[column.name] += pc.sum(pc.equal(lengths, 0)).as_py() or 0
        if column.kind != "number":
            terms = pc.unique(values.flatten()).to_pylist()
            self.terms.setdefault(column.name, set()).update(terms)
