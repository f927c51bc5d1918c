"""Findings about columns: missing ones, and inputs of the served model that have other names."""

from collections.abc import Iterator

from taskroute.components.logs import missing_columns
from taskroute.pipeline.inspection.log_sample import LogSample
from taskroute.schemas.columns import feature_columns, label_columns, raw_columns
from taskroute.schemas.findings import Finding
from taskroute.schemas.input_names import input_names
from taskroute.schemas.recommender import RecommenderConfig


def find_missing_columns(config: RecommenderConfig, sample: LogSample) -> Iterator[Finding]:
    """Columns that files of the sample lack, or that have no value in it."""
    labels = {column.name for column in label_columns(config)}
    extent = "any row" if sample.is_whole else f"any of the {sample.num_rows:,} rows read"
    yield from missing_columns.findings(sample.columns, raw_columns(config), labels, extent)


def find_input_names(config: RecommenderConfig, sample: LogSample) -> Iterator[Finding]:
    """Columns and features that signatures of the served model take under another name."""
    names = input_names(column.name for column in feature_columns(config))
    for column, name in names.items():
        if name != column:
            yield Finding(
                kind="names",
                subject=column,
                sentence=f"column '{column}': the served model's `raw_features` takes it as "
                f"'{name}'; tf.Examples keep the column's own name",
            )
    for feature, name in input_names(each.name for each in config.features).items():
        if name != feature:
            yield Finding(
                kind="names",
                subject=feature,
                sentence=f"feature '{feature}': the served model's `transformed_features` takes it "
                f"as '{name}'",
            )
