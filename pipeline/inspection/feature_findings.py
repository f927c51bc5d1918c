"""Searches of `taskroute check` for features that leak, that say nothing, or that say it oddly."""

from taskroute.components.measures.dead_features import find_dead_columns
from taskroute.components.measures.odd_numbers import find_odd_numbers
from taskroute.components.measures.single_column_auc import find_leaks
from taskroute.pipeline.inspection.log_sample import LogSample
from taskroute.schemas.findings import Finding
from taskroute.schemas.recommender import RecommenderConfig


def search_leaks(config: RecommenderConfig, sample: LogSample) -> list[Finding]:
    """Finds columns that alone decide a task."""
    return find_leaks(config, sample.examples)


def search_dead_features(config: RecommenderConfig, sample: LogSample) -> list[Finding]:
    """Finds features that say the same of nearly every row."""
    return find_dead_columns(config, sample.examples, is_whole=sample.is_whole)


def search_odd_numbers(config: RecommenderConfig, sample: LogSample) -> list[Finding]:
    """Finds default values, and numbers that float32 rounds away."""
    return find_odd_numbers(config, sample.examples)
