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
    columns = (column.name for column in feature_columns(config))
    features = (feature.name for feature in config.features)
    for what, signature, names, rest in (
        ("column", "raw_features", columns, "; tf.Examples keep the column's own name"),
        ("feature", "transformed_features", features, ""),
    ):
        for name, given in input_names(names).items():
            if given != name:
                yield Finding(
                    kind="names",
                    subject=name,
                    sentence=f"{what} '{name}': the served model's `{signature}` takes it as "
                    f"'{given}'{rest}",
                )
