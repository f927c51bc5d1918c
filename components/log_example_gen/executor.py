"""LogExampleGen: the work of the component."""

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from absl import logging
from pydantic import TypeAdapter
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from taskroute.components import private_apis
from taskroute.components.log_example_gen.part_work import (
    CountSeconds,
    Item,
    Report,
    WriteShards,
    split_column,
)
from taskroute.components.logs import (
    labels,
    log_files,
    log_reader,
    missing_columns,
    spans,
    split_findings,
    splits,
)
from taskroute.components.logs.bad_rows import BadRowCounts
from taskroute.components.logs.examples import ABSENT_COLUMNS, SERVED_COLUMNS, shard_name
from taskroute.components.logs.labels import LabelCounts
from taskroute.components.logs.missing_columns import ColumnCounts
from taskroute.components.logs.spans import Window
from taskroute.components.logs.time_ranges import describe_splits
from taskroute.components.served.request_columns import with_served_columns
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.findings import Finding, Findings
from taskroute.schemas.log_splits import LogSplits
from taskroute.schemas.source import SPLITS, Source
from taskroute.schemas.tasks import Task

_REFUSED = "refused"  # folder of the bad rows of a run that they stopped


class _DoItem(beam.DoFn):
    """Does one piece of work and leaves its report in a file.

    A DataError becomes a report: Beam would wrap it in the traceback of its own machinery. Once
    there is one, the items still to come are passed over.
    """

    def __init__(self, work: Callable[[Item], Report], folder: Path):
        super().__init__()
        self._work = work
        self._folder = folder

    def process(self, item: Item) -> None:
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
        """Writes the three splits and the bad rows, and counts them in properties.

        Args:
            input_dict: Empty.
            output_dict: `examples`: one Examples artifact; `quarantine`: one Quarantine, which also
                gets the records of the splits and the findings.
            exec_properties: `source`, `columns` and `tasks` of LogExampleGen, as JSON; `serving`.

        Raises:
            DataError: If the log cannot be used as the source says, or more of its rows are bad
                than may be; nothing of the output is left then, but the bad rows are kept in a
                folder `refused` beside the quarantine's.
        """
        start = time.monotonic()
        source = spans.resolve(Source.model_validate_json(exec_properties["source"]))
        columns = tuple(RawColumn(**column) for column in json.loads(exec_properties["columns"]))
        if exec_properties.get("serving"):
            columns = with_served_columns(columns, exec_properties["serving"])
        tasks = TypeAdapter(tuple[Task, ...]).validate_json(exec_properties["tasks"])
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        quarantine = artifact_utils.get_single_instance(output_dict["quarantine"])
        with _all_or_nothing(Path(examples.uri), Path(quarantine.uri)) as work_folder:
            window = spans.read_window(source)
            items = _make_items(source, window, columns)
            cut = self._find_cutoffs(source, items, work_folder)
            work = WriteShards(source, columns, tasks, cut and cut[0], work_folder)
            refused = Path(quarantine.uri).parent / _REFUSED
            shutil.rmtree(refused, ignore_errors=True)  # of an earlier attempt
            reports = self._write_shards(work, items, refused)
            counts = _label_counts(reports, tasks)
            _require_labels(counts, tasks)
            rows_by_file = _rows_by_file(items, reports)
            missing = _missing_spans(window, source, rows_by_file)
            rows = _publish(_shards(items, reports, window), work_folder, Path(examples.uri))
            _publish_bad_rows(reports, work_folder, Path(quarantine.uri))
            made = _describe(source, rows, reports, cut)
            made.write(quarantine.uri)
            findings = (
                *_column_findings(reports, columns, tasks),
                *split_findings.find_uneven_cut(source.split, made, source.timestamp),
                *split_findings.find_label_problems(counts),
            )
            if findings:
                Findings(findings=findings).write(quarantine.uri)
        bad = _all_bad_rows(reports)
        examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
        private_apis.mark_as_parquet(examples)
        for split in SPLITS:
            examples.set_int_custom_property(f"num_rows_{split}", rows[split])
        _name_served_columns(examples, columns, _column_counts(reports))
        examples.set_int_custom_property("num_rows_quarantined", bad.total)
        examples.set_int_custom_property("num_files", len(rows_by_file))
        empty = [file for file, count in rows_by_file.items() if not count]
        examples.set_int_custom_property("num_files_without_rows", len(empty))
        if window is not None:
            examples.span = spans.number_of(window.spans[-1])
            examples.set_string_custom_property("first_span", window.spans[0])
            examples.set_string_custom_property("last_span", window.spans[-1])
            examples.set_string_custom_property("missing_spans", " ".join(missing))
        quarantine.set_int_custom_property("num_rows", bad.total)
        for reason, count in bad.counts.items():
            quarantine.set_int_custom_property(f"num_rows_{reason}", count)
        for file in empty:
            logging.warning("LogExampleGen found no row in %s", file)
        logging.info(
            "LogExampleGen wrote %d rows in %.1f s and quarantined %d",
            sum(rows.values()),
            time.monotonic() - start,
            bad.total,
        )

    def _write_shards(self, work: WriteShards, items: list[Item], refused: Path) -> list[Report]:
        """Reports of all parts, in the order of the files."""
        reports = self._run(work, items, work.folder / "shards")
        _require_any_row(reports, work.source)
        _refuse_bad_rows(reports, work.source, work.folder, refused)
        _require_rows(reports, work.source)
        missing_columns.refuse_empty(_column_counts(reports), work.columns, work.source.path)
        return reports

    def _find_cutoffs(
        self, source: Source, items: list[Item], work_folder: Path
    ) -> tuple[splits.Cutoffs, int] | None:
        """Cutoffs of a split by time, and its distinct times; None where the split is by hash."""
        if source.split.by != "time":
            return None
        items = [item for item in items if not item.is_test]
        work = CountSeconds(source, work_folder)
        reports = self._run(work, items, work_folder / "seconds")
        seconds, counts = splits.merge_counts(
            _load_counts(work_folder / report["file"]) for report in reports
        )
        split = source.split
        cutoffs = splits.find_cutoffs(seconds, counts, split.validation, split.test)
        if cutoffs is None:
            _require_any_row(reports, source)
            _refuse_bad_rows(reports, source)
            raise DataError(
                f"{source.path}: column '{split_column(source)}' holds {len(seconds)} distinct "
                "seconds, too few to split by time; set `split.by` to hash"
            )
        return cutoffs, len(seconds)

    def _run(self, work: Callable[[Item], Report], items: list[Item], folder: Path) -> list[Report]:
        """Runs the items in Beam and returns their reports in order."""
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


@contextmanager
def _all_or_nothing(target: Path, bad_target: Path) -> Iterator[Path]:
    """Gives a folder to work in; where the work fails, nothing of the output is left."""
    work_folder = target / "unfinished"

    def remove_output() -> None:
        for folder in (work_folder, *(_split_folder(target, split) for split in SPLITS)):
            shutil.rmtree(folder, ignore_errors=True)
        records = (LogSplits.path(bad_target), Findings.path(bad_target))
        for file in (*bad_target.glob("*.jsonl"), *records):
            file.unlink(missing_ok=True)

    remove_output()  # of an attempt that was killed
    work_folder.mkdir(parents=True)
    bad_target.mkdir(parents=True, exist_ok=True)
    try:
        yield work_folder
    except BaseException:
        remove_output()
        raise
    shutil.rmtree(work_folder)


def _make_items(source: Source, window: Window | None, columns: Sequence[RawColumn]) -> list[Item]:
    """Parts of the log, in which every column occurs somewhere."""
    files = spans.files_of(source, window)
    test_files = log_files.list_files(source.test_path) if source.test_path else []
    shared = set(map(log_files.identity, files)) & set(map(log_files.identity, test_files))
    if shared:
        raise DataError(
            f"{min(shared)}: is in `source.path` and in `source.test_path`; a test row must not "
            "be trained on"
        )
    log_reader.require_somewhere(source.path, files, columns, source.format, source.csv)
    log_reader.require_somewhere(
        source.test_path or "", test_files, columns, source.format, source.csv
    )
    parts = [
        (part, is_test)
        for is_test, some in ((False, files), (True, test_files))
        for part in log_reader.split_into_parts(some, source.format)
    ]
    return [Item(index, part, is_test) for index, (part, is_test) in enumerate(parts)]


def _column_counts(reports: Sequence[Report]) -> ColumnCounts:
    counts = ColumnCounts()
    for report in reports:
        counts.merge(ColumnCounts(**report["columns"]))
    return counts


def _name_served_columns(
    examples: types.Artifact, columns: Sequence[RawColumn], counts: ColumnCounts
) -> None:
    served = [column.stored for column in columns if column.need == "no_file"]
    absent = [name for name in served if not counts.is_known(name)]
    for name, value in ((SERVED_COLUMNS, served), (ABSENT_COLUMNS, absent)):
        examples.set_string_custom_property(name, json.dumps(value))


def _all_bad_rows(reports: Sequence[Report]) -> BadRowCounts:
    bad = BadRowCounts()
    for report in reports:
        bad.merge(BadRowCounts.from_json(report["bad_rows"]))
    return bad


def _refuse_bad_rows(
    reports: Sequence[Report],
    source: Source,
    work_folder: Path | None = None,
    refused: Path | None = None,
) -> None:
    """Stops if too many rows are bad; keeps them in the folder `refused`, if one is given."""
    num_rows = sum(report["rows"] for report in reports)
    bad = _all_bad_rows(reports)
    is_refused = bad.total > source.max_bad_fraction * num_rows
    if is_refused and work_folder is not None and refused is not None:
        refused.mkdir(parents=True)
        _publish_bad_rows(reports, work_folder, refused)
    kept = None if refused is None else str(refused)
    bad.refuse_above(source.max_bad_fraction, num_rows, source.path, kept)


def _require_any_row(reports: Sequence[Report], source: Source) -> None:
    if not any(report["rows"] for report in reports):
        raise DataError(f"{source.path}: its files hold no row; check `source.path`")


def _require_rows(reports: Sequence[Report], source: Source) -> None:
    filled = {shard["split"] for report in reports for shard in report["shards"]}
    for split in SPLITS:
        if split not in filled:
            where = source.test_path if split == "test" and source.test_path else source.path
            raise DataError(
                f"{where}: no row falls into the {split} split; give more rows or other fractions"
            )


def _label_counts(
    reports: Sequence[Report], tasks: Sequence[Task]
) -> dict[str, dict[str, LabelCounts]]:
    """Label counts by split and task."""
    return {
        split: {
            task.name: sum(
                (LabelCounts(**report["labels"][split][task.name]) for report in reports),
                LabelCounts(),
            )
            for task in tasks
        }
        for split in SPLITS
    }


def _require_labels(counts: Mapping[str, Mapping[str, LabelCounts]], tasks: Sequence[Task]) -> None:
    """Refuses tasks that a split says nothing about: the gate would refuse the model at the end."""
    for split in SPLITS:
        labels.require_counted(counts[split], f"{split} row")
    train = counts["train"]
    labels.check_both_classes({task.name: train[task.name] for task in labels.binary_tasks(tasks)})


def _describe(
    source: Source,
    rows: Mapping[str, int],
    reports: Sequence[Report],
    cut: tuple[splits.Cutoffs, int] | None,
) -> LogSplits:
    ranges = {
        split: [report["times"][split] for report in reports if split in report["times"]]
        for split in SPLITS
    }
    return describe_splits(source.split.by, rows, ranges, *(cut or (None, 0)))


def _rows_by_file(items: Sequence[Item], reports: Sequence[Report]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for item, report in zip(items, reports, strict=True):
        rows[item.part.file] = rows.get(item.part.file, 0) + report["rows"]
    return rows


def _missing_spans(
    window: Window | None, source: Source, rows_by_file: dict[str, int]
) -> list[str]:
    """Spans without files or without rows in them."""
    if window is None:
        return []
    missing = [
        span
        for span, files in zip(window.spans, window.files, strict=True)
        if not sum(rows_by_file[file] for file in files)
    ]
    spans.refuse_missing(missing, source, "no row")
    return missing


def _load_counts(file: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(file) as arrays:
        return arrays["seconds"], arrays["counts"]


def _report_file(folder: Path, item: Item) -> Path:
    return folder / f"{item.index}.json"


def _split_folder(target: Path, split: str) -> Path:
    return target / f"Split-{split}"


def _shards(
    items: Sequence[Item], reports: Sequence[Report], window: Window | None
) -> list[tuple[str | None, dict[str, Any]]]:
    """Pairs of span and written shard, in the order of the files."""
    spans_of_files: dict[str, str] = {}
    if window is not None:
        for span, files in zip(window.spans, window.files, strict=True):
            spans_of_files |= dict.fromkeys(files, span)
    return [
        (spans_of_files.get(item.part.file), shard)
        for item, report in zip(items, reports, strict=True)
        for shard in report["shards"]
    ]


def _publish(
    shards: Sequence[tuple[str | None, dict[str, Any]]], work_folder: Path, target: Path
) -> dict[str, int]:
    """Moves the shards to their names and counts the rows of each split."""
    rows = {}
    for split in SPLITS:
        of_split = [(span, shard) for span, shard in shards if shard["split"] == split]
        folder = _split_folder(target, split)
        folder.mkdir()
        for index, (span, shard) in enumerate(of_split):
            name = shard_name(index, len(of_split), span)
            os.replace(work_folder / shard["file"], folder / name)
        rows[split] = sum(shard["rows"] for _, shard in of_split)
    return rows


def _publish_bad_rows(reports: Sequence[Report], work_folder: Path, target: Path) -> None:
    files = [report["bad_rows_file"] for report in reports if report["bad_rows_file"]]
    for index, file in enumerate(files):
        shutil.move(work_folder / file, target / f"bad_rows-{index:05d}-of-{len(files):05d}.jsonl")


def _column_findings(
    reports: Sequence[Report], columns: Sequence[RawColumn], tasks: Sequence[Task]
) -> Iterator[Finding]:
    of_tasks = {task.label.column for task in tasks} | {
        task.weight for task in tasks if task.weight
    }
    yield from missing_columns.findings(_column_counts(reports), columns, of_tasks)
