"""Search of `taskroute check` for columns that alone decide a task."""

from taskroute.components.measures.single_column_auc import find_leaks
from taskroute.pipeline.inspection.log_sample import LogSample
from taskroute.schemas.findings import Finding
from taskroute.schemas.recommender import RecommenderConfig


def search_leaks(config: RecommenderConfig, sample: LogSample) -> list[Finding]:
    """Finds leaks in the rows of the sample."""
    return find_leaks(config, sample.examples)
