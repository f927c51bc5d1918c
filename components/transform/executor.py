"""Transform: the work of the component."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from taskroute.components import private_apis
from taskroute.components.transform.analysis import analyze
from taskroute.components.transform.graph import write_graph
from taskroute.components.transform.materialization import Shard, materialize
from taskroute.components.transform.train_findings import find_in_train
from taskroute.schemas.recommender import DataConfig

_TRAIN = "train"
_ANALYSIS = "analysis"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Analyzes the train split, makes the transform graph, transforms every split."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the component.

        Args:
            input_dict: `examples`, raw; their `schema`.
            output_dict: `transform_graph`, which gets the folder `analysis` and `Findings` beside
                what TFX's Transform writes; `transformed_examples`, Parquet files.
            exec_properties: `preprocessing_fn`, a dotted path; `data`, a `DataConfig` as JSON.
        """
        data = DataConfig.model_validate_json(exec_properties["data"])
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        splits = artifact_utils.decode_split_names(examples.split_names)
        graph = artifact_utils.get_single_uri(output_dict["transform_graph"])
        transformed = artifact_utils.get_single_instance(output_dict["transformed_examples"])

        analysis = f"{graph}/{_ANALYSIS}"
        tf.io.gfile.makedirs(analysis)
        with self._make_beam_pipeline() as pipeline:
            analyze(pipeline, _shards(examples, _TRAIN), data, analysis)
        write_graph(_preprocessing_fn(exec_properties, analysis), _read_schema(input_dict), graph)
        shards = [
            shard for split in splits for shard in _to_transform(examples, transformed, split)
        ]
        with self._make_beam_pipeline() as pipeline:
            materialize(pipeline, shards, graph)
        of_train = [shard for shard in shards if f"/Split-{_TRAIN}/" in shard.target]
        find_in_train(of_train, data, analysis).write(graph)
        transformed.split_names = examples.split_names
        private_apis.mark_as_parquet(transformed)


def _preprocessing_fn(exec_properties: dict[str, Any], analysis: str) -> Callable[..., Any]:
    module, _, name = exec_properties["preprocessing_fn"].rpartition(".")
    function = getattr(importlib.import_module(module), name)
    custom_config = {"data": exec_properties["data"], _ANALYSIS: analysis}
    return functools.partial(function, custom_config=custom_config)


def _read_schema(input_dict: dict[str, list[types.Artifact]]) -> schema_pb2.Schema:
    (path,) = tf.io.gfile.glob(f"{artifact_utils.get_single_uri(input_dict['schema'])}/*")
    with tf.io.gfile.GFile(path) as file:
        return text_format.Parse(file.read(), schema_pb2.Schema())


def _shards(examples: types.Artifact, split: str) -> list[str]:
    return sorted(tf.io.gfile.glob(f"{artifact_utils.get_split_uri([examples], split)}/*"))


def _to_transform(examples: types.Artifact, target: types.Artifact, split: str) -> list[Shard]:
    target_folder = f"{target.uri}/Split-{split}"
    tf.io.gfile.makedirs(target_folder)
    sources = _shards(examples, split)
    return [
        Shard(source, f"{target_folder}/transformed_examples-{i:05d}-of-{len(sources):05d}.parquet")
        for i, source in enumerate(sources)
    ]
