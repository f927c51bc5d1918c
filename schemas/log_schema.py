"""TensorFlow Metadata schema of the log, made from the config."""

from tensorflow_metadata.proto.v0 import schema_pb2

from taskroute.schemas.columns import RawColumn, feature_columns, label_columns
from taskroute.schemas.recommender import DataConfig


def make_schema(config: DataConfig) -> schema_pb2.Schema:
    """Makes the schema of the log's tf.Examples: bytes or floats, any of which may be missing.

    Labels, weights and required features must have a value somewhere.
    """
    schema = schema_pb2.Schema()
    for column in feature_columns(config):
        _add_feature(schema, column, is_needed=column.need == "every_file")
    for column in label_columns(config):
        _add_feature(schema, column, is_needed=True)
    zero_one = {
        task.label.column for task in config.tasks if task.kind == "binary" and not task.label.rules
    }
    for feature in schema.feature:
        if feature.name in zero_one:
            feature.float_domain.min, feature.float_domain.max = 0.0, 1.0
    return schema


def make_request_schema(config: DataConfig) -> schema_pb2.Schema:
    """Makes the schema of a serving request: the features without the labels."""
    schema = schema_pb2.Schema()
    for column in feature_columns(config):
        _add_feature(schema, column)
    return schema


def _add_feature(schema: schema_pb2.Schema, column: RawColumn, *, is_needed: bool = False) -> None:
    kind = schema_pb2.FLOAT if column.kind == "number" else schema_pb2.BYTES
    feature = schema.feature.add(name=column.name, type=kind)
    if is_needed:
        feature.presence.min_count = 1
    if column.kind != "texts":
        feature.value_count.max = 1
