"""Files beside the graph of an exported model: warm-up requests and the scores they must get."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from taskroute.models.transformed_files import read_file
from taskroute.schemas.serving import BATCHING_FILE, ModelInfo

# TensorFlow Serving replays this file, of TFRecords of PredictionLog, before it serves a model.
REQUESTS_FILE = "tf_serving_warmup_requests"
SCORES_FILE = "warmup_scores.json"


def request_rows(patterns: Sequence[str], count: int, columns: Sequence[str]) -> list[bytes]:
    """First rows of raw examples as requests: serialized, with the given columns only.

    Args:
        patterns: File patterns of Parquet files of raw examples.
        count: Rows wanted; fewer where there are fewer.
        columns: Names of the columns that features read.
    """
    rows: list[bytes] = []
    for file in sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern)):
        for batch in read_file(file, columns):
            rows += map(_to_example, batch.slice(0, count - len(rows)).to_pylist())
            if len(rows) == count:
                return rows
    return rows


def _to_example(row: Mapping[str, list[Any] | None]) -> bytes:
    """A serialized tf.Example; a missing value is an empty feature."""
    example = tf.train.Example()
    for name, values in row.items():
        feature = example.features.feature[name]
        for value in values or ():
            kind = feature.bytes_list if isinstance(value, bytes) else feature.float_list
            kind.value.append(value)
    content: bytes = example.SerializeToString(deterministic=True)
    return content


def write_serving_files(
    path: str,
    info: ModelInfo,
    requests: Mapping[str, Mapping[str, tf.Tensor]],
    scores: Mapping[str, tf.Tensor],
) -> None:
    """Writes the files that servers need into `assets.extra` of the SavedModel at `path`.

    `tf_serving_warmup_requests` holds a request for each signature and batch size. Where there are
    fewer rows than that, they begin anew: row i of a request has the scores of row i modulo their
    number. `warmup_scores.json` holds these, by output; `model_info.json` is `info`;
    `batching_parameters.txt` allows the batch sizes that were warmed.

    Args:
        path: Folder of the SavedModel.
        info: Description of the model.
        requests: Inputs by name, by signature, for the same rows.
        scores: Scores of the trainer's own ranker by output, float32 (rows,).
    """
    folder = Path(path) / "assets.extra"
    folder.mkdir(exist_ok=True)
    (num_rows,) = {len(values) for values in scores.values()}
    with tf.io.TFRecordWriter(str(folder / REQUESTS_FILE)) as writer:
        for signature, inputs in requests.items():
            for size in info.serving.batch_sizes:
                rows = np.arange(size) % num_rows
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.name = info.name
                request.model_spec.signature_name = signature
                for name, values in inputs.items():
                    tensor = tf.make_tensor_proto(values.numpy()[rows], dtype=values.dtype)
                    request.inputs[name].CopyFrom(tensor)
                writer.write(log.SerializeToString(deterministic=True))
    content = {name: values.numpy().astype(float).tolist() for name, values in scores.items()}
    (folder / SCORES_FILE).write_text(json.dumps(content), encoding="utf-8")
    info.write(path)
    (folder / BATCHING_FILE).write_text(
        _batching_parameters(info.serving.batch_sizes), encoding="utf-8"
    )


def _batching_parameters(sizes: Sequence[int]) -> str:
    """Content of `--batching_parameters_file`; a batch is filled up to the next allowed size.

    `pad_variable_length_inputs` stays off: it fills a list up with its batch's first value.
    """
    lines = [
        f"max_batch_size {{ value: {sizes[-1]} }}",
        "batch_timeout_micros { value: 2000 }",
        "max_enqueued_batches { value: 100 }",
        *(f"allowed_batch_sizes: {size}" for size in sizes),
    ]
    return "\n".join(lines) + "\n"
