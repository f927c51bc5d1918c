"""Trainer's input alone: examples/s of one pass over the train split, by way of reading it.

    python benchmarks/trainer_input.py [--root runs/demo] [--config examples/demo.yaml]

`--root` is that of a finished run; without one, the demo's is made there first. Ways, each with the
same rows, all cores and batches of the config's size, in turn, `--repeats` times after a first one;
the best pass of each counts:

* `ours`: `make_dataset`, shuffled, as the trainer reads: columns of Parquet files.
* `TFRecords, parsed in batches`: the same rows as gzipped tf.Examples, shuffled, 8,192 parsed at
  once; beside it 1,024, and without gzip.
* `TFRecords, row by row`: `tf.io.parse_single_example` and then batches.
* `TFRecords, tfxio`: tfx_bsl's TensorFlowDataset, which TFX's templates use.
* `transform in the trainer`: raw rows as gzipped tf.Examples, parsed and transformed in tf.data,
  nothing materialized.

The last line is one JSON object; `ratio` is ours over tfxio.
"""

import gzip
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from finished_run import finished_run
from harness import DEMO, in_turn, options, report

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_transform as tft
from tfx_bsl.public import tfxio

from taskroute.models import dataset
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.schemas.recommender import ModelConfig, load_config

_SHUFFLE_ROWS = 100_000

Way = Callable[[], Iterable[dict[str, tf.Tensor]]]


def parsed(
    records: tf.data.Dataset,
    parse: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    batch_size: int,
    parse_rows: int,
) -> tf.data.Dataset:
    """Shuffled rows in batches, of which `parse_rows` are parsed at once."""
    return (
        records.shuffle(_SHUFFLE_ROWS)
        .batch(parse_rows)
        .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        .rebatch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def row_by_row(files: list[str], spec: dict[str, object], batch_size: int) -> tf.data.Dataset:
    return (
        _records(files)
        .shuffle(_SHUFFLE_ROWS)
        .map(lambda row: tf.io.parse_single_example(row, spec), num_parallel_calls=tf.data.AUTOTUNE)
        .ragged_batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def with_tfxio(
    files: list[str], transform: tft.TFTransformOutput, batch_size: int
) -> tf.data.Dataset:
    source = tfxio.TFExampleRecord(
        file_pattern=files, schema=transform.transformed_metadata.schema, telemetry_descriptors=[]
    )
    options = tfxio.TensorFlowDatasetOptions(
        batch_size=batch_size, num_epochs=1, shuffle_buffer_size=_SHUFFLE_ROWS
    )
    return source.TensorFlowDataset(options)


def write_tfrecords(files: list[str], folder: Path) -> tuple[list[str], list[str]]:
    """Rows of Parquet files as gzipped and as plain TFRecords of tf.Examples."""
    folder.mkdir()
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


def one_pass(way: Way) -> int:
    """Reads all rows and counts them."""
    return sum(int(next(iter(batch.values())).shape[0]) for batch in way())


def ways(run: SharedData, config: ModelConfig, scratch: Path) -> dict[str, Way]:
    transform = tft.TFTransformOutput(str(run.transform_graph))
    files, raw = (_expand(patterns) for patterns in (run.files("train"), run.raw_files("train")))
    packed, plain = write_tfrecords(files, scratch / "transformed")
    packed_raw, _ = write_tfrecords(raw, scratch / "raw")
    size = config.training.batch_size
    spec = {**dataset.feature_spec(config), **dataset.label_spec(config)}
    layer, raw_spec = transform.transform_features_layer(), transform.raw_feature_spec()

    def parse(rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return tf.io.parse_example(rows, spec)

    def parse_and_transform(rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return layer(tf.io.parse_example(rows, raw_spec))

    return {
        "ours": lambda: dataset.make_dataset(files, config, batch_size=size, shuffle_seed=1),
        "TFRecords, parsed in batches": lambda: parsed(_records(packed), parse, size, 8192),
        "TFRecords, 1,024 parsed at once": lambda: parsed(_records(packed), parse, size, 1024),
        "TFRecords, without gzip": lambda: parsed(_records(plain), parse, size, 8192),
        "TFRecords, row by row": lambda: row_by_row(packed, spec, size),
        "TFRecords, tfxio": lambda: with_tfxio(packed, transform, size),
        "transform in the trainer": lambda: parsed(
            _records(packed_raw), parse_and_transform, size, 8192
        ),
    }


def _expand(patterns: list[str]) -> list[str]:
    return sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern))


def main() -> None:
    parser = options(
        __doc__,
        root=("runs/demo", "demo"),
        config=(str(DEMO), str(DEMO)),
        rows=(200_000, 2_000),
        repeats=(3, 1),
    )
    arguments = parser.parse_args()
    config = load_config(arguments.config).part(ModelConfig)
    with tempfile.TemporaryDirectory() as scratch:
        run = finished_run(Path(arguments.root), arguments.rows)
        chosen = ways(run, config, Path(scratch))
        counts = {one_pass(way) for way in chosen.values()}
        passes = {name: partial(one_pass, way) for name, way in chosen.items()}
        measured = in_turn(passes, arguments.repeats, warm_ups=0)
    (rows,) = counts
    wall = {name: rows / min(one.wall for one in times) for name, times in measured.items()}
    cpu = {name: rows / min(one.cpu for one in times) for name, times in measured.items()}
    print(f"{'way':<33}{'examples/s':>12}{'of a core':>12}")
    for name in chosen:
        print(f"{name:<33}{wall[name]:>12,.0f}{cpu[name]:>12,.0f}")
    report(
        "the trainer's input against tfxio",
        ratio=round(wall["ours"] / wall["TFRecords, tfxio"], 2),
        ratio_of_processor_time=round(cpu["ours"] / cpu["TFRecords, tfxio"], 2),
        examples_per_s={name: round(rate) for name, rate in wall.items()},
        rows=rows,
        batch_size=config.training.batch_size,
    )


if __name__ == "__main__":
    main()
