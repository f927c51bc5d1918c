"""The trainer's input alone: examples/s of one pass over the train split, by way of reading it.

    python benchmarks/trainer_input.py --root runs/demo --config examples/demo.yaml

`--root` is that of a finished run. Ways, each with the same rows, all cores and batches of the
config's size, in turn, `--repeats` times; the best pass of each counts:

* `ours`: `make_dataset`, shuffled, as the trainer reads: columns of Parquet files.
* `TFRecords, parsed in batches`: the same rows as gzipped tf.Examples, shuffled, 8,192 parsed at
  once; beside it 1,024, and without gzip.
* `TFRecords, row by row`: `tf.io.parse_single_example` and then batches.
* `TFRecords, tfxio`: tfx_bsl's TensorFlowDataset, which TFX's templates use.
* `transform in the trainer`: raw examples, parsed and transformed in tf.data, nothing materialized.

The last line is one JSON object; `ratio` is ours over tfxio.
"""

import argparse
import gzip
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_transform as tft
from finished_run import FinishedRun
from tfx_bsl.public import tfxio

from taskroute.models import dataset
from taskroute.schemas.recommender import ModelConfig, load_config

_SHUFFLE_ROWS = 100_000

Way = Callable[[], Iterable[dict[str, tf.Tensor]]]


def in_batches(files: list[str], config: ModelConfig, parse_rows: int) -> tf.data.Dataset:
    spec = {**dataset.feature_spec(config), **dataset.labels_spec(config)}
    return (
        _records(files)
        .shuffle(_SHUFFLE_ROWS)
        .batch(parse_rows)
        .map(lambda rows: tf.io.parse_example(rows, spec), num_parallel_calls=tf.data.AUTOTUNE)
        .rebatch(config.training.batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def row_by_row(files: list[str], config: ModelConfig) -> tf.data.Dataset:
    spec = {**dataset.feature_spec(config), **dataset.labels_spec(config)}
    return (
        _records(files)
        .shuffle(_SHUFFLE_ROWS)
        .map(lambda row: tf.io.parse_single_example(row, spec), num_parallel_calls=tf.data.AUTOTUNE)
        .ragged_batch(config.training.batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def with_tfxio(
    files: list[str], config: ModelConfig, transform: tft.TFTransformOutput
) -> tf.data.Dataset:
    source = tfxio.TFExampleRecord(
        file_pattern=files, schema=transform.transformed_metadata.schema, telemetry_descriptors=[]
    )
    options = tfxio.TensorFlowDatasetOptions(
        batch_size=config.training.batch_size, num_epochs=1, shuffle_buffer_size=_SHUFFLE_ROWS
    )
    return source.TensorFlowDataset(options)


def transform_in_trainer(
    files: list[str], config: ModelConfig, transform: tft.TFTransformOutput
) -> tf.data.Dataset:
    spec = transform.raw_feature_spec()
    layer = transform.transform_features_layer()
    return (
        _records(files)
        .shuffle(_SHUFFLE_ROWS)
        .batch(8192)
        .map(
            lambda rows: layer(tf.io.parse_example(rows, spec)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .rebatch(config.training.batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def write_tfrecords(files: list[str], folder: Path) -> tuple[list[str], list[str]]:
    """The rows of Parquet files as gzipped and as plain TFRecords of tf.Examples."""
    packed, plain = [], []
    for file in files:
        target = folder / Path(file).stem
        encoder = tfxio.RecordBatchToExamplesEncoder()
        with tf.io.TFRecordWriter(str(target)) as writer:
            for batch in pq.ParquetFile(file).iter_batches(8192):
                for example in encoder.encode(_as_lists(batch)):
                    writer.write(example)
        target.with_suffix(".gz").write_bytes(gzip.compress(target.read_bytes(), 1))
        plain.append(str(target))
        packed.append(str(target.with_suffix(".gz")))
    return packed, plain


def _as_lists(batch: pa.RecordBatch) -> pa.RecordBatch:
    offsets = pa.array(np.arange(len(batch) + 1, dtype=np.int32))
    columns = [
        column if pa.types.is_list(column.type) else pa.ListArray.from_arrays(offsets, column)
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _records(files: list[str]) -> tf.data.Dataset:
    compression = "GZIP" if files[0].endswith(".gz") else ""
    return tf.data.TFRecordDataset(files, compression, buffer_size=1 << 20)


def one_pass(way: Way) -> tuple[int, float, float]:
    """Rows of a pass, its seconds, and its seconds of processor time."""
    rows, start, cpu = 0, time.perf_counter(), time.process_time()
    for batch in way():
        rows += int(next(iter(batch.values())).shape[0])
    return rows, time.perf_counter() - start, time.process_time() - cpu


def ways(run: FinishedRun, config: ModelConfig, scratch: Path) -> dict[str, Way]:
    transform = tft.TFTransformOutput(str(run.transform_graph))
    files, raw = (_expand(found) for found in (run.files("train"), run.raw_files("train")))
    packed, plain = write_tfrecords(files, scratch)
    size = config.training.batch_size
    return {
        "ours": lambda: dataset.make_dataset(files, config, batch_size=size, shuffle_seed=1),
        "TFRecords, parsed in batches": lambda: in_batches(packed, config, 8192),
        "TFRecords, 1,024 parsed at once": lambda: in_batches(packed, config, 1024),
        "TFRecords, without gzip": lambda: in_batches(plain, config, 8192),
        "TFRecords, row by row": lambda: row_by_row(packed, config),
        "TFRecords, tfxio": lambda: with_tfxio(packed, config, transform),
        "transform in the trainer": lambda: transform_in_trainer(raw, config, transform),
    }


def _expand(patterns: list[str]) -> list[str]:
    return sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    config = load_config(options.config).part(ModelConfig)
    with tempfile.TemporaryDirectory() as scratch:
        chosen = ways(FinishedRun(options.root), config, Path(scratch))
        measured: dict[str, list[tuple[int, float, float]]] = {name: [] for name in chosen}
        for _ in range(options.repeats):
            for name, way in chosen.items():
                measured[name].append(one_pass(way))
    (rows,) = {rows for passes in measured.values() for rows, _, _ in passes}
    wall = {name: rows / min(took for _, took, _ in passes) for name, passes in measured.items()}
    cpu = {name: rows / min(took for _, _, took in passes) for name, passes in measured.items()}
    print(f"{'way':<33}{'examples/s':>12}{'of a core':>12}")
    for name in chosen:
        print(f"{name:<33}{wall[name]:>12,.0f}{cpu[name]:>12,.0f}")
    result = {
        "ratio": round(wall["ours"] / wall["TFRecords, tfxio"], 2),
        "ratio_of_processor_time": round(cpu["ours"] / cpu["TFRecords, tfxio"], 2),
        "examples_per_s": {name: round(rate) for name, rate in wall.items()},
        "rows": rows,
        "batch_size": config.training.batch_size,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
