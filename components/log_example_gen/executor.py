"""The work of LogExampleGen: log files to TFRecord shards of tf.Examples, one folder a split."""

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from absl import logging
from pydantic import TypeAdapter
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from taskroute.components.log_example_gen import example_encoder, labels, log_reader, splits
from taskroute.components.log_example_gen.labels import LabelCounts
from taskroute.components.log_example_gen.log_reader import LogBatch, LogFormat, Part
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import SPLITS, Source
from taskroute.schemas.tasks import Task

# Level 1 leaves a fifth of the bytes for 1 us a row and is read back as fast as none; level 6
# leaves a seventh for 6 us.
_SHARD_OPTIONS = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
_ROWS_PER_SHARD = 250_000
_SEED = 20_190_127

Report = dict[str, Any]


@dataclass(frozen=True)
class _Item:
    """One piece of work; `index` orders the shards, whoever writes them first."""

    index: int
    part: Part
    is_test: bool


@dataclass(frozen=True)
class _CountSeconds:
    """First pass of a split by time: rows per second of one part, kept in a file."""

    column: str
    log_format: LogFormat
    folder: Path

    def __call__(self, item: _Item) -> Report:
        columns = [RawColumn(self.column, "text")]
        seconds, counts = splits.merge_counts(
            np.unique(batch.seconds(self.column), return_counts=True)
            for batch in log_reader.read_batches(item.part, columns, self.log_format)
        )
        file = self.folder / f"{uuid.uuid4()}.npz"
        np.savez(file, seconds=seconds, counts=counts)
        return {"file": file.name}


@dataclass(frozen=True)
class _WriteShards:
    """Reads one part, says which split its rows are in, and writes a shard or more for each."""

    source: Source
    columns: tuple[RawColumn, ...]
    tasks: tuple[Task, ...]
    cutoffs: splits.Cutoffs | None
    folder: Path

    def __call__(self, item: _Item) -> Report:
        writers = [_ShardWriter(self.folder, split) for split in SPLITS]
        train_labels = {task.name: LabelCounts() for task in labels.binary_tasks(self.tasks)}
        rows_read = 0
        try:
            batches = log_reader.read_batches(
                item.part, self._columns_to_read(item), self.source.format
            )
            for number, batch in enumerate(batches):
                rows_read += batch.num_rows
                converted = batch.convert(self.columns)
                split_of_row = self._split(item, batch)
                self._count_labels(batch, converted, split_of_row, train_labels)
                # Logs are sorted by time; training shuffles over a window of rows only.
                order = np.random.default_rng((_SEED, item.index, number)).permutation(
                    batch.num_rows
                )
                examples = example_encoder.encode(converted)
                for split, writer in enumerate(writers):
                    chosen = order[split_of_row[order] == split]
                    writer.write([examples[row] for row in chosen.tolist()])
        finally:
            for writer in writers:
                writer.close()
        shards = [shard for writer in writers for shard in writer.shards]
        _require_all_rows(item.part, rows_read, sum(shard["rows"] for shard in shards))
        return {
            "shards": shards,
            "train_labels": {name: asdict(counts) for name, counts in train_labels.items()},
        }

    def _columns_to_read(self, item: _Item) -> list[RawColumn]:
        if item.is_test:
            return list(self.columns)
        return [*self.columns, RawColumn(_split_column(self.source), "text")]

    def _split(self, item: _Item, batch: LogBatch) -> np.ndarray:
        """(N,) index into SPLITS."""
        if item.is_test:
            return np.full(batch.num_rows, SPLITS.index("test"))
        column = _split_column(self.source)
        if self.cutoffs:
            return splits.split_by_time(batch.seconds(column), self.cutoffs)
        split = self.source.split
        return splits.split_by_hash(_hash(batch.keys(column)), split.validation, split.test)

    def _count_labels(
        self,
        batch: LogBatch,
        converted: pa.RecordBatch,
        split_of_row: np.ndarray,
        train_labels: dict[str, LabelCounts],
    ) -> None:
        is_train = split_of_row == SPLITS.index("train")
        for name, values in labels.read_labels(batch, converted, self.tasks).items():
            train_labels[name] += labels.count_labels(values[is_train])


class _ShardWriter:
    """Writes the examples of one split to shards of names that no other worker uses."""

    def __init__(self, folder: Path, split: str):
        self.shards: list[dict[str, Any]] = []
        self._folder = folder
        self._split = split
        self._file: tf.io.TFRecordWriter | None = None

    def write(self, examples: Sequence[bytes]) -> None:
        if not examples:
            return
        if self._file is None:
            name = str(uuid.uuid4())
            self._file = tf.io.TFRecordWriter(str(self._folder / name), _SHARD_OPTIONS)
            self.shards.append({"split": self._split, "file": name, "rows": 0})
        for example in examples:
            self._file.write(example)
        self.shards[-1]["rows"] += len(examples)
        if self.shards[-1]["rows"] >= _ROWS_PER_SHARD:
            self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _DoItem(beam.DoFn):
    """Does one piece of work and leaves its report in a file.

    A DataError becomes a report: Beam would wrap it in the traceback of its own machinery. Once
    there is one, the items still to come are passed over.
    """

    def __init__(self, work: Callable[[_Item], Report], folder: Path):
        super().__init__()
        self._work = work
        self._folder = folder

    def process(self, item: _Item) -> None:
        refused = self._folder / "refused"
        if refused.exists():
            return
        try:
            report = self._work(item)
        except DataError as error:
            report = {"error": str(error)}
            refused.touch()
        unfinished = self._folder / str(uuid.uuid4())
        unfinished.write_text(json.dumps(report))
        unfinished.replace(_report_file(self._folder, item))


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor of LogExampleGen."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the three splits and counts their rows in the artifact's properties.

        Args:
            input_dict: Empty.
            output_dict: `examples`: one Examples artifact.
            exec_properties: `source`, `columns` and `tasks` of LogExampleGen, as JSON.

        Raises:
            DataError: If the log cannot be used as the source says; nothing is left behind.
        """
        start = time.monotonic()
        source = Source.model_validate_json(exec_properties["source"])
        columns = tuple(RawColumn(**column) for column in json.loads(exec_properties["columns"]))
        tasks = TypeAdapter(tuple[Task, ...]).validate_json(exec_properties["tasks"])
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        target = Path(examples.uri)
        work_folder = target / "unfinished"
        _remove_output(target, work_folder)  # of an attempt that was killed
        work_folder.mkdir(parents=True)
        try:
            reports = self._write_shards(source, columns, tasks, work_folder)
            rows = _publish(reports, work_folder, target)
        except BaseException:
            _remove_output(target, work_folder)
            raise
        shutil.rmtree(work_folder)
        examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
        for split in SPLITS:
            examples.set_int_custom_property(f"num_rows_{split}", rows[split])
        logging.info(
            "LogExampleGen wrote %d rows in %.1f s", sum(rows.values()), time.monotonic() - start
        )

    def _write_shards(
        self,
        source: Source,
        columns: tuple[RawColumn, ...],
        tasks: tuple[Task, ...],
        work_folder: Path,
    ) -> list[Report]:
        """Reports of all parts, in the order of the files."""
        items = _make_items(source)
        cutoffs = self._find_cutoffs(source, items, work_folder)
        work = _WriteShards(source, columns, tasks, cutoffs, work_folder)
        reports = self._run(work, items, work_folder / "shards")
        counts = {
            task.name: sum(
                (LabelCounts(**report["train_labels"][task.name]) for report in reports),
                LabelCounts(),
            )
            for task in labels.binary_tasks(tasks)
        }
        _require_rows(reports, source)
        labels.check_both_classes(counts)
        return reports

    def _find_cutoffs(
        self, source: Source, items: list[_Item], work_folder: Path
    ) -> splits.Cutoffs | None:
        """None where the split is by hash."""
        if source.split.by != "time":
            return None
        column = _split_column(source)
        items = [item for item in items if not item.is_test]
        work = _CountSeconds(column, source.format, work_folder)
        reports = self._run(work, items, work_folder / "seconds")
        seconds, counts = splits.merge_counts(
            _load_counts(work_folder / report["file"]) for report in reports
        )
        split = source.split
        cutoffs = splits.find_cutoffs(seconds, counts, split.validation, split.test)
        if cutoffs is None:
            raise DataError(
                f"{source.path}: column '{column}' holds {len(seconds)} distinct seconds, too few "
                "to split by time; set `split.by` to hash"
            )
        return cutoffs

    def _run(
        self, work: Callable[[_Item], Report], items: list[_Item], folder: Path
    ) -> list[Report]:
        """Does the items in Beam; their reports, in order."""
        folder.mkdir()
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Parts" >> beam.Create(items)
                | "ToWorkers" >> beam.Reshuffle()
                | type(work).__name__ >> beam.ParDo(_DoItem(work, folder))
            )
        files = [_report_file(folder, item) for item in items]
        reports = [json.loads(file.read_text()) for file in files if file.exists()]
        for report in reports:
            if "error" in report:
                raise DataError(report["error"])
        if len(reports) != len(items):
            raise RuntimeError(f"Beam did {len(reports)} of {len(items)} parts of the log")
        return reports


def _make_items(source: Source) -> list[_Item]:
    files = log_reader.list_files(source.path)
    test_files = log_reader.list_files(source.test_path) if source.test_path else []
    shared = {file.resolve() for file in files} & {file.resolve() for file in test_files}
    if shared:
        raise DataError(
            f"{min(shared)}: is in `source.path` and in `source.test_path`; a test row must not "
            "be trained on"
        )
    parts = [
        (part, is_test)
        for is_test, some in ((False, files), (True, test_files))
        for part in log_reader.split_into_parts(some, source.format)
    ]
    return [_Item(index, part, is_test) for index, (part, is_test) in enumerate(parts)]


def _split_column(source: Source) -> str:
    """Column that decides a row's split: Source sees to it that there is one."""
    return cast(str, source.timestamp if source.split.by == "time" else source.split.key)


def _hash(texts: pa.Array) -> np.ndarray:
    _, offsets, data = texts.buffers()
    start = texts.offset
    return splits.hash_texts(
        np.frombuffer(offsets, np.int32)[start : start + len(texts) + 1],
        np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8),
    )


def _require_all_rows(part: Part, rows_read: int, rows_written: int) -> None:
    """Holds the promise that no row is lost, whatever the reader and the encoder do."""
    if rows_written != rows_read or part.num_rows not in (None, rows_read):
        raise RuntimeError(
            f"{part.file}: {rows_read} rows were read and {rows_written} written, of "
            f"{part.num_rows} in the file"
        )


def _require_rows(reports: list[Report], source: Source) -> None:
    filled = {shard["split"] for report in reports for shard in report["shards"]}
    for split in SPLITS:
        if split not in filled:
            where = source.test_path if split == "test" and source.test_path else source.path
            raise DataError(
                f"{where}: no row falls into the {split} split; give more rows or other fractions"
            )


def _load_counts(file: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(file) as arrays:
        return arrays["seconds"], arrays["counts"]


def _report_file(folder: Path, item: _Item) -> Path:
    return folder / f"{item.index}.json"


def _split_folder(target: Path, split: str) -> Path:
    return target / f"Split-{split}"


def _remove_output(target: Path, work_folder: Path) -> None:
    for folder in (work_folder, *(_split_folder(target, split) for split in SPLITS)):
        shutil.rmtree(folder, ignore_errors=True)


def _publish(reports: list[Report], work_folder: Path, target: Path) -> dict[str, int]:
    """Moves the shards to their names, in the order of the files; rows of each split."""
    rows = {}
    for split in SPLITS:
        shards = [
            shard for report in reports for shard in report["shards"] if shard["split"] == split
        ]
        _split_folder(target, split).mkdir()
        for index, shard in enumerate(shards):
            name = f"data_tfrecord-{index:05d}-of-{len(shards):05d}.gz"
            os.replace(work_folder / shard["file"], _split_folder(target, split) / name)
        rows[split] = sum(shard["rows"] for shard in shards)
    return rows
