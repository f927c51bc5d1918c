"""Makes the transform graph of a `preprocessing_fn` that needs no analysis by TFT."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils

from taskroute.components.private_apis import trace_transform


def write_graph(
    preprocessing_fn: Callable[[Mapping[str, tf.SparseTensor]], Mapping[str, Any]],
    schema: schema_pb2.Schema,
    folder: str,
) -> None:
    """Traces `preprocessing_fn` and writes what `tft.TFTransformOutput` reads.

    TFX's Transform, where it finds nothing to analyze, does the same; but it takes every lookup in
    a table for an analysis, and then builds a Beam pipeline and traces the function nine times.

    Args:
        preprocessing_fn: Maps sparse columns to transformed features; calls no analyzer of TFT.
        schema: Schema of the raw examples.
        folder: Folder that gets the graph, the vocabularies among its assets, and the schemas.
    """
    metadata = dataset_metadata.DatasetMetadata(schema)
    metadata_io.write_metadata(metadata, str(Path(folder, tft.TFTransformOutput.RAW_METADATA_DIR)))
    features = schema_utils.schema_as_feature_spec(schema).feature_spec
    types = {
        name: tf.SparseTensorSpec([None, None], feature.dtype) for name, feature in features.items()
    }
    trace_transform(preprocessing_fn, features, types, folder)
