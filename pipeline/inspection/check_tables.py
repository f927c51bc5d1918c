"""Tables and lines that `taskroute check` prints."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from taskroute.components.logs import sampling
from taskroute.pipeline.inspection.log_sample import LogSample
from taskroute.pipeline.inspection.plain_table import plain_table
from taskroute.pipeline.inspection.table_sizes import Rows, TableSize, table_sizes
from taskroute.schemas.log_splits import split_lines
from taskroute.schemas.recommender import RecommenderConfig


def print_check(config: RecommenderConfig, sample: LogSample) -> None:
    """Prints columns, the memory of the embedding tables, labels as they count, and splits."""
    console = Console(highlight=False)
    files = "1 file" if sample.num_files == 1 else f"{sample.num_files} files"
    extent = sampling.extent(
        sample.num_rows, sample.total, files, is_exact=sample.is_exact, is_cut=sample.is_cut
    )
    console.print(f"[bold]{config.name}[/bold]: {extent}\n")
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
    table = plain_table("task", "kind", "column", "known", "counts", "rate", texts=3)
    for task in config.tasks:
        counts = sample.labels[task.name]
        total = max(counts.total, 1)
        known, counted = 1 - counts.missing / total, counts.counted / total
        rate = f"{counts.positives / max(counts.counted, 1):.2%}" if task.kind == "binary" else ""
        column = task.label.column
        table.add_row(task.name, task.kind, column, f"{known:.1%}", f"{counted:.1%}", rate)
    console.print(table)
    if sample.splits is not None:
        console.print()
        for line in split_lines(sample.splits.made):
            console.print(line)
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
        if not counts.values and not (counts.positives and counts.negatives):
            console.print(
                f"[yellow]task '{name}' has one class only in the rows that count[/yellow]: the "
                "run stops if its train split has too"
            )
    for finding in sample.findings:
        console.print(f"[yellow]look at[/yellow] {escape(finding.sentence)}", soft_wrap=True)


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
