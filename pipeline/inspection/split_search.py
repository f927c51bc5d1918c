"""Findings of `taskroute check` about the splits of the sample and the labels in them."""

from collections.abc import Iterator

from taskroute.components.logs.split_findings import find_label_problems, find_uneven_cut
from taskroute.pipeline.inspection.log_sample import LogSample
from taskroute.schemas.findings import Finding
from taskroute.schemas.recommender import RecommenderConfig


def find_split_problems(config: RecommenderConfig, sample: LogSample) -> Iterator[Finding]:
    """Findings that LogExampleGen would leave for these rows."""
    if sample.splits is None:
        return
    source = config.source
    yield from find_uneven_cut(source.split, sample.splits.made, source.timestamp)
    yield from find_label_problems(sample.splits.labels)
