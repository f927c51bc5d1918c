"""`taskroute check`: columns, label rates and table sizes of a log, without training."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from taskroute.components.logs import log_files, log_reader, spans
from taskroute.components.logs.bad_rows import BadRowCounts
from taskroute.components.logs.labels import (
    LabelCounts,
    check_both_classes,
    count_labels,
    read_labels,
)
from taskroute.components.logs.log_batch import RowCheck
from taskroute.components.logs.log_reader import LogFormat
from taskroute.pipeline.inspection.plain_table import plain_table
from taskroute.pipeline.inspection.table_sizes import Rows, TableSize, table_sizes
from taskroute.pipeline.run.paths import absolute_source
from taskroute.schemas.columns import RawColumn, raw_columns
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import RecommenderConfig

_SAMPLE_ROWS = 50_000


@dataclass
class LogSample:
    """Counts of the first rows of the log."""

    num_files: int
    num_rows: int = 0
    is_whole: bool = True
    missing: Counter[str] = field(default_factory=Counter)
    terms: dict[str, set[str]] = field(default_factory=dict)
    labels: dict[str, LabelCounts] = field(default_factory=dict)
    bad_rows: BadRowCounts = field(default_factory=BadRowCounts)


def check_log(config: RecommenderConfig, data_folder: Path) -> LogSample:
    """Reads the first rows as ingestion will.

    Raises:
        DataError: If files or columns are missing, or too many rows are certainly bad; and, if the
            sample is the whole log, if a binary label has one class only.
    """
    source = spans.resolve(absolute_source(config, data_folder))
    files = spans.files_of(source, spans.read_window(source))
    sample = LogSample(len(files))
    split_column = source.timestamp if source.split.by == "time" else source.split.key
    _read(sample, config, files, source.format, split_column)
    if source.test_path is not None:
        test_files = log_files.list_files(source.test_path)
        sample.num_files += len(test_files)
        _read(sample, config, test_files, source.format, None)
    if sample.num_rows == 0:
        raise DataError(f"{source.path}: its files hold no row; check `source.path`")
    if sample.is_whole or source.max_bad_fraction == 0:
        sample.bad_rows.refuse_above(source.max_bad_fraction, sample.num_rows, source.path)
    if sample.is_whole:
        check_both_classes(sample.labels, "row")
    return sample


def print_check(config: RecommenderConfig, sample: LogSample) -> None:
    """Prints columns, label rates and the memory of the embedding tables."""
    console = Console(highlight=False)
    extent = "all" if sample.is_whole else "the first"
    files = "1 file" if sample.num_files == 1 else f"{sample.num_files} files"
    console.print(f"[bold]{config.name}[/bold]: {extent} {sample.num_rows:,} rows of {files}\n")
    table = plain_table("feature", "kind", "column", "missing", texts=3)
    num_good = max(sample.num_rows - sample.bad_rows.total, 1)
    for feature in config.features:
        missing = f"{sample.missing[feature.column] / num_good:.1%}"
        table.add_row(feature.name, feature.kind, feature.column, missing)
    console.print(table)
    console.print()
    sizes = table_sizes(config, sample.terms)
    if sizes:
        _print_sizes(console, sizes)
    table = plain_table("task", "kind", "column", "known", "rate", texts=3)
    for task in config.tasks:
        known = 1 - sample.missing[task.label.column] / num_good
        rate = ""
        if task.kind == "binary":
            counts = sample.labels[task.name]
            rate = f"{counts.positives / max(counts.positives + counts.negatives, 1):.2%}"
        table.add_row(task.name, task.kind, task.label.column, f"{known:.1%}", rate)
    console.print(table)
    if sample.bad_rows.total:
        allowed = config.source.max_bad_fraction
        share = sample.bad_rows.total / sample.num_rows
        console.print(
            f"\n{sample.bad_rows.total:,} rows cannot be used, {share:.2%} where "
            f"`source.max_bad_fraction` allows {allowed:.2%}:"
        )
        for reason, count in sample.bad_rows.counts.items():
            first = sample.bad_rows.first[reason].sentence()
            console.print(f"  {count:,} {reason}, first {first}", soft_wrap=True, markup=False)
    for name, counts in sample.labels.items():
        if not counts.positives or not counts.negatives:
            console.print(
                f"[yellow]task '{name}' has one class only in these rows[/yellow]: the run stops "
                "if its train split has too"
            )


def _read(
    sample: LogSample,
    config: RecommenderConfig,
    files: Sequence[str],
    log_format: LogFormat,
    split_column: str | None,
) -> None:
    columns = raw_columns(config)
    to_read = [*columns, *([RawColumn(split_column, "text")] if split_column else [])]
    num_rows = 0
    for batch in log_reader.sample_batches(files, to_read, log_format, _SAMPLE_ROWS):
        num_rows += batch.num_rows + len(batch.passed_over)
        check = RowCheck(batch)
        converted = check.convert(columns)
        if split_column and config.source.split.by == "time":
            check.seconds(split_column)
        elif split_column:
            check.keys(split_column)
        labels = read_labels(check, converted, config.tasks)
        good = converted.filter(pa.array(check.is_good))
        for column in columns:
            _count(sample, column, good[column.name])
        for name, values in labels.items():
            counts = count_labels(values[check.is_good])
            sample.labels[name] = sample.labels.get(name, LabelCounts()) + counts
        sample.bad_rows.add(check.bad_rows)
    sample.num_rows += num_rows
    sample.is_whole &= num_rows < _SAMPLE_ROWS


def _count(sample: LogSample, column: RawColumn, values: pa.ListArray) -> None:
    lengths = pc.fill_null(pc.list_value_length(values), 0)
    sample.missing[column.name] += pc.sum(pc.equal(lengths, 0)).as_py() or 0
    if column.kind != "number":
        terms = pc.unique(values.flatten()).to_pylist()
        sample.terms.setdefault(column.name, set()).update(terms)


def _print_sizes(console: Console, sizes: Sequence[TableSize]) -> None:
    table = plain_table("embeddings of", "terms seen", "rows", "width", "suggested", "MB", texts=1)
    for size in sizes:
        terms = "" if size.terms is None else f"{size.terms:,}"
        if isinstance(size.rows, str):
            table.add_row(size.name, terms, f"of {size.rows}")
            continue
        rows = size.rows
        numbers = (f"{rows.number:,}", str(rows.width), str(rows.suggested))
        megabytes = f"{rows.num_bytes / 1e6:.2f}" if rows.num_bytes > 1e4 else "<0.01"
        table.add_row(size.name, terms, *numbers, megabytes)
    console.print(table)
    total = sum(size.rows.num_bytes for size in sizes if isinstance(size.rows, Rows)) / 1e6
    console.print(f"tables and their optimizer: {total:.1f} MB for the terms of the sample\n")
