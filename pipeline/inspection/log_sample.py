"""Sample of a log, read as ingestion will read it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.components.logs import log_reader, sampling
from taskroute.components.logs.bad_rows import BadRowCounts
from taskroute.components.logs.hashes import hash_texts
from taskroute.components.logs.labels import LabelCounts, count_labels, read_labels
from taskroute.components.logs.log_batch import RowCheck
from taskroute.components.logs.missing_columns import ColumnCounts
from taskroute.pipeline.inspection.sample_splits import RowParts, SampleSplits
from taskroute.schemas.columns import RawColumn, raw_columns
from taskroute.schemas.findings import Finding
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.source import Source


@dataclass
class LogSample:
    """Rows of the log, and their counts.

    Attributes:
        num_files: Number of files of the whole log.
        num_rows: Number of rows of the sample, the bad ones included.
        total: Number of rows of the whole log; an estimate unless `is_exact`.
        is_exact: True if every row of the log was counted.
        is_cut: True if all rows come from the first `total` ones.
        is_whole: True if the log has no other rows.
        missing: Number of good rows without a value, by column.
        terms: Distinct terms by column.
        labels: Counts of labels by task.
        rows: Good rows as splits and tasks see them, a part for each batch.
        bad_rows: Counts of bad rows.
        columns: Counts of rows whose files lack a column.
        unreadable: Counts of the rows that the reader passed over, of all that it went through.
        batches: Good rows as raw examples.
        splits: Splits of the good rows; None where their times are too few to cut.
        findings: Findings about the rows and the config.
    """

    num_files: int
    num_rows: int = 0
    total: int = 0
    is_exact: bool = True
    is_cut: bool = False
    is_whole: bool = True
    missing: Counter[str] = field(default_factory=Counter)
    terms: dict[str, set[bytes]] = field(default_factory=dict)
    labels: dict[str, LabelCounts] = field(default_factory=dict)
    bad_rows: BadRowCounts = field(default_factory=BadRowCounts)
    columns: ColumnCounts = field(default_factory=ColumnCounts)
    unreadable: BadRowCounts = field(default_factory=BadRowCounts)
    batches: list[pa.RecordBatch] = field(default_factory=list)
    rows: list[RowParts] = field(default_factory=list)
    splits: SampleSplits | None = None
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
        to_read = list(columns)
        if split_column:
            to_read.append(RawColumn(split_column, "text", need="every_file"))
        where = (source.test_path if is_test else None) or source.path
        log_reader.require_somewhere(where, files, to_read, source.format, source.csv)
        sample = sampling.read_sample(files, to_read, source.format, form=source.csv)
        for batch in sample.batches:
            self.columns.add_batch(replace(batch, file=sampling.file_of(batch)))
            check = RowCheck(batch)
            converted = check.convert(columns)
            parts = RowParts(is_test=np.full(batch.num_rows, is_test))
            if split_column and by_time:
                parts.seconds = check.seconds(split_column, source.timestamp_format)
            elif split_column:
                parts.hashes = hash_texts(check.keys(split_column))
            parts.roles = read_labels(check, converted, config.tasks)
            good = converted.filter(pa.array(check.is_good))
            self.batches.append(good)
            self.columns.add_values("", good, np.ones(len(good), bool))
            for column in columns:
                self._count(column, good[column.name])
            self.rows.append(parts.select(check.is_good))
            for name, roles in self.rows[-1].roles.items():
                self.labels[name] = self.labels.get(name, LabelCounts()) + count_labels(roles)
            self.bad_rows.add(check.bad_rows)
        self.unreadable.merge(sample.unreadable)
        self.num_rows += sample.num_rows
        self.total += sample.total
        self.is_exact &= sample.is_exact
        self.is_cut |= sample.is_cut
        self.is_whole &= sample.is_whole

    def _count(self, column: RawColumn, values: pa.ListArray) -> None:
        lengths = pc.fill_null(pc.list_value_length(values), 0)
        self.missing[column.name] += pc.sum(pc.equal(lengths, 0)).as_py() or 0
        if column.kind != "number":
            terms = pc.unique(values.flatten()).to_pylist()
            self.terms.setdefault(column.name, set()).update(terms)
