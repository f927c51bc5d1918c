"""`taskroute check`: what can be known of a log before anything is trained."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from taskroute.components.log_example_gen import log_reader
from taskroute.components.log_example_gen.labels import (
    LabelCounts,
    check_both_classes,
    count_labels,
    read_labels,
)
from taskroute.pipeline.paths import absolute_source
from taskroute.schemas.columns import RawColumn, raw_columns
from taskroute.schemas.features import BucketFeature, DenseFeature, Feature
from taskroute.schemas.recommender import RecommenderConfig

_SAMPLE_ROWS = 50_000
# A float32 weight and its Adagrad accumulator.
_BYTES_PER_WEIGHT = 8


@dataclass
class LogSample:
    """What the first rows of the log hold."""

    num_files: int
    num_rows: int = 0
    is_whole: bool = True
    missing: Counter[str] = field(default_factory=Counter)
    terms: dict[str, set[str]] = field(default_factory=dict)
    labels: dict[str, LabelCounts] = field(default_factory=dict)


def check_log(config: RecommenderConfig, data_folder: Path) -> LogSample:
    """Reads the first rows as ingestion will.

    Raises:
        DataError: If files or columns are missing or a value does not fit; and, where the sample is
            the whole log, if a binary label has one class only.
    """
    source = absolute_source(config, data_folder)
    columns = raw_columns(config)
    patterns = [path for path in (source.path, source.test_path) if path is not None]
    files = [log_reader.list_files(pattern) for pattern in patterns]
    sample = LogSample(sum(map(len, files)))
    needed = _with_split_columns(columns, source.timestamp, source.split.key)
    for paths in files:
        rows = 0
        for batch in log_reader.sample_batches(paths, needed, source.format, _SAMPLE_ROWS):
            converted = batch.convert(columns)
            if source.split.by == "time" and source.timestamp is not None:
                batch.seconds(source.timestamp)
            elif source.split.key is not None:
                batch.keys(source.split.key)
            rows += batch.num_rows
            for column in columns:
                _count(sample, column, converted[column.name])
            labels = read_labels(batch, converted, config.tasks)
            for name, values in labels.items():
                sample.labels[name] = sample.labels.get(name, LabelCounts()) + count_labels(values)
        sample.num_rows += rows
        sample.is_whole &= rows < _SAMPLE_ROWS
    if sample.is_whole:
        check_both_classes(sample.labels, "row")
    return sample


def print_check(config: RecommenderConfig, sample: LogSample) -> None:
    """Prints columns, label rates and the memory of the embedding tables."""
    console = Console(highlight=False)
    extent = "all" if sample.is_whole else "the first"
    files = "1 file" if sample.num_files == 1 else f"{sample.num_files} files"
    console.print(f"[bold]{config.name}[/bold]: {extent} {sample.num_rows:,} rows of {files}\n")
    table = _table("feature", "kind", "column", "missing", "terms seen", "table MB")
    total = 0.0
    for feature in config.features:
        size = _table_bytes(feature, sample) / 1e6
        total += size
        table.add_row(
            feature.name,
            feature.kind,
            feature.column,
            f"{sample.missing[feature.column] / max(sample.num_rows, 1):.1%}",
            f"{len(sample.terms[feature.column]):,}" if feature.column in sample.terms else "",
            f"{size:.2f}" if size else "",
        )
    console.print(table)
    console.print(f"tables and their optimizer: {total:.1f} MB for the terms of the sample\n")
    table = _table("task", "kind", "column", "known", "rate")
    for task in config.tasks:
        known = 1 - sample.missing[task.label.column] / max(sample.num_rows, 1)
        rate = ""
        if task.kind == "binary":
            counts = sample.labels[task.name]
            rate = f"{counts.positives / max(counts.positives + counts.negatives, 1):.2%}"
        table.add_row(task.name, task.kind, task.label.column, f"{known:.1%}", rate)
    console.print(table)
    for name, counts in sample.labels.items():
        if not counts.positives or not counts.negatives:
            console.print(
                f"[yellow]task '{name}' has one class only in these rows[/yellow]: the run stops "
                "if its train split has too"
            )


def _with_split_columns(columns: Sequence[RawColumn], *names: str | None) -> list[RawColumn]:
    known = {column.name for column in columns}
    extra = [RawColumn(name, "text") for name in names if name is not None and name not in known]
    return [*columns, *extra]


def _count(sample: LogSample, column: RawColumn, values: pa.ListArray) -> None:
    lengths = pc.fill_null(pc.list_value_length(values), 0)
    sample.missing[column.name] += pc.sum(pc.equal(lengths, 0)).as_py() or 0
    if column.kind != "number":
        seen = sample.terms.setdefault(column.name, set())
        seen.update(pc.unique(values.flatten()).to_pylist())


def _table_bytes(feature: Feature, sample: LogSample) -> int:
    match feature:
        case DenseFeature():
            return 0
        case BucketFeature():
            ids = feature.num_buckets
        case _ if feature.vocabulary is not None:
            ids = len(sample.terms[feature.column])
            ids = min(ids, feature.vocabulary.max_size or ids) + feature.vocabulary.oov_buckets
        case _:
            ids = feature.hash_buckets or 0
    return (ids + 1) * feature.embedding_dim * _BYTES_PER_WEIGHT


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index < 3 else "right")
    return table
