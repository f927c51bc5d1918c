"""`taskroute check`: reads a sample of a log as a run will, without training."""

from collections.abc import Callable, Iterable
from pathlib import Path

from taskroute.components.logs import log_files, spans
from taskroute.components.logs.labels import binary_tasks, check_both_classes, require_counted
from taskroute.components.logs.missing_columns import refuse_empty
from taskroute.pipeline.inspection.column_findings import find_input_names, find_missing_columns
from taskroute.pipeline.inspection.feature_findings import (
    search_dead_features,
    search_leaks,
    search_odd_numbers,
)
from taskroute.pipeline.inspection.log_sample import LogSample
from taskroute.pipeline.inspection.sample_splits import split_sample
from taskroute.pipeline.inspection.size_limits import find_sizes
from taskroute.pipeline.inspection.slice_counts import find_many_slices
from taskroute.pipeline.inspection.split_search import find_split_problems
from taskroute.pipeline.inspection.term_findings import find_split_ids
from taskroute.pipeline.run.paths import absolute_source
from taskroute.schemas.columns import raw_columns
from taskroute.schemas.errors import DataError
from taskroute.schemas.findings import Finding
from taskroute.schemas.recommender import RecommenderConfig

# Each looks for one kind of finding in the config and the sample.
_SEARCHES: tuple[Callable[[RecommenderConfig, LogSample], Iterable[Finding]], ...] = (
    find_missing_columns,
    find_input_names,
    search_leaks,
    find_split_problems,
    search_dead_features,
    search_odd_numbers,
    find_sizes,
    find_many_slices,
    find_split_ids,
)


def check_log(config: RecommenderConfig, data_folder: Path) -> LogSample:
    """Reads rows from all over the log as ingestion will.

    Raises:
        ConfigError: If sizes of the config do not fit this machine's memory.
        DataError: If files or columns are missing, or too many rows are certainly bad; and, if the
            sample is the whole log, if a task has no rows that count, a binary one has one class
            only, or a required column has no value.
    """
    source = spans.resolve(absolute_source(config, data_folder))
    files = spans.files_of(source, spans.read_window(source))
    sample = LogSample(len(files))
    sample.read(config, files, source)
    if source.test_path is not None:
        test_files = log_files.list_files(source.test_path)
        sample.num_files += len(test_files)
        sample.read(config, test_files, source, is_test=True)
    if sample.num_rows == 0:
        raise DataError(f"{source.path}: its files hold no row; check `source.path`")
    if source.max_bad_fraction == 0 and not sample.bad_rows.total:
        # None in the sample, but perhaps on the way to it.
        sample.unreadable.refuse_above(0.0, sample.total, source.path)
    if sample.is_whole or source.max_bad_fraction == 0:
        sample.bad_rows.refuse_above(source.max_bad_fraction, sample.num_rows, source.path)
    sample.splits = split_sample(sample.rows, source)
    if sample.is_whole:
        refuse_empty(sample.columns, raw_columns(config), source.path)
        require_counted(sample.labels, "row")
        check_both_classes(
            {task.name: sample.labels[task.name] for task in binary_tasks(config.tasks)}, "row"
        )
        if sample.splits is not None:
            for split, counts in sample.splits.labels.items():
                if sample.splits.made.splits[split].rows:
                    require_counted(counts, f"{split} row")
    sample.findings += [finding for search in _SEARCHES for finding in search(config, sample)]
    return sample
