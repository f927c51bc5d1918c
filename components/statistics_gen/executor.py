"""StatisticsGen: the work of the component."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from taskroute.components.logs.examples import SERVED_COLUMNS, columns_in, read_batches
from taskroute.components.private_apis import extract_statistics, statistics_generators
from taskroute.schemas.statistics_files import STATISTICS_FILE


class Executor(base_beam_executor.BaseBeamExecutor):
    """Computes statistics of every split."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the component.

        Args:
            input_dict: `examples`, raw.
            output_dict: `statistics`, gets FeatureStats.pb in a folder `Split-<name>` for each
                split.
            exec_properties: Not read.
        """
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        statistics = artifact_utils.get_single_instance(output_dict["statistics"])
        left_out = columns_in(examples, SERVED_COLUMNS)
        shards = []
        for split in artifact_utils.decode_split_names(examples.split_names):
            folder = artifact_utils.get_split_uri([examples], split)
            files = sorted(tf.io.gfile.glob(f"{folder}/*"))
            shards += [(f"{statistics.uri}/Split-{split}", file) for file in files]
        for target in dict.fromkeys(target for target, _ in shards):
            tf.io.gfile.makedirs(target)
        with self._make_beam_pipeline() as pipeline:
            compute_statistics(pipeline, shards, left_out)
        statistics.split_names = examples.split_names
        statistics.span = examples.span


def compute_statistics(
    pipeline: beam.Pipeline,
    shards: Sequence[tuple[str, str]],
    left_out: Sequence[str] = (),
) -> None:
    """Adds the computation of statistics to `pipeline`.

    Args:
        pipeline: Pipeline to add to.
        shards: Pairs of the folder that gets STATISTICS_FILE, which must exist, and a shard
            of raw examples: one set of statistics for each folder.
        left_out: Columns that the config does not read.
    """
    _ = (
        pipeline
        | "Shards" >> beam.Create(list(shards))
        | "ToWorkers" >> beam.Reshuffle()
        | "Read" >> beam.FlatMap(_read, left_out)
        | "Statistics" >> beam.CombinePerKey(_Statistics())
        | "Write" >> beam.Map(_write)
    )


def _read(shard: tuple[str, str], left_out: Sequence[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
    target, path = shard
    for batch in read_batches(path):
        names = [name for name in batch.schema.names if name not in left_out]
        yield target, batch.select(names)


class _Statistics(beam.CombineFn):
    """All of TFDV's default statistics, an accumulator each."""

    def setup(self) -> None:
        self._generators = statistics_generators()
        for generator in self._generators:
            generator.setup()

    def create_accumulator(self) -> list[Any]:
        return [generator.create_accumulator() for generator in self._generators]

    def add_input(self, accumulators: list[Any], batch: pa.RecordBatch) -> list[Any]:
        return [
            generator.add_input(accumulator, batch)
            for generator, accumulator in zip(self._generators, accumulators, strict=True)
        ]

    def merge_accumulators(self, accumulators: Iterable[list[Any]]) -> list[Any]:
        return [
            generator.merge_accumulators(of_generator)
            for generator, of_generator in zip(
                self._generators, zip(*accumulators, strict=True), strict=True
            )
        ]

    def compact(self, accumulators: list[Any]) -> list[Any]:
        return [
            generator.compact(accumulator)
            for generator, accumulator in zip(self._generators, accumulators, strict=True)
        ]

    def extract_output(
        self, accumulators: list[Any]
    ) -> statistics_pb2.DatasetFeatureStatisticsList:
        return extract_statistics(accumulators, self._generators)


def _write(computed: tuple[str, statistics_pb2.DatasetFeatureStatisticsList]) -> None:
    folder, statistics = computed
    with tf.io.gfile.GFile(f"{folder}/{STATISTICS_FILE}", "wb") as file:
        file.write(statistics.SerializeToString(deterministic=True))
