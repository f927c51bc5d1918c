"""The TensorFlow Metadata schema of the log, made from the config and never kept beside it."""

from tensorflow_metadata.proto.v0 import schema_pb2

from taskroute.schemas.columns import RawColumn, feature_columns, label_columns
from taskroute.schemas.recommender import DataConfig


def make_schema(config: DataConfig) -> schema_pb2.Schema:
    """Says what a tf.Example of the log holds: bytes or floats, any of which may be missing.

    Its comparators of skew and drift are the features' `max_skew` and `max_drift`.
    """
    schema = schema_pb2.Schema()
    for column in (*feature_columns(config), *label_columns(config)):
        _add_feature(schema, column)
    zero_one = {
        task.label.column
        for task in config.tasks
        if task.kind == "binary" and task.label.at_least is None
    }
    for feature in schema.feature:
        if feature.name in zero_one:
            feature.float_domain.min, feature.float_domain.max = 0.0, 1.0
    by_name = {feature.name: feature for feature in schema.feature}
    for reader in config.features:
        column = by_name[reader.column]
        _limit(column, column.skew_comparator, reader.max_skew)
        _limit(column, column.drift_comparator, reader.max_drift)
    return schema


def _limit(
    column: schema_pb2.Feature, comparator: schema_pb2.FeatureComparator, limit: float | None
) -> None:
    """Sets the distance that a column may have; the smallest, where several features set one."""
    if limit is None:
        return
    is_number = column.type == schema_pb2.FLOAT
    norm = comparator.jensen_shannon_divergence if is_number else comparator.infinity_norm
    norm.threshold = min(limit, norm.threshold) if norm.HasField("threshold") else limit


def make_request_schema(config: DataConfig) -> schema_pb2.Schema:
    """The part of the schema that a serving request holds: the features without the labels."""
    schema = schema_pb2.Schema()
    for column in feature_columns(config):
        _add_feature(schema, column)
    return schema


def _add_feature(schema: schema_pb2.Schema, column: RawColumn) -> None:
    kind = schema_pb2.FLOAT if column.kind == "number" else schema_pb2.BYTES
    feature = schema.feature.add(name=column.name, type=kind)
    feature.presence.min_count = 1
    if column.kind != "texts":
        feature.value_count.max = 1
