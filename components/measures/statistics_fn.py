"""Beam side of measuring: files to rows to statistics, one CombineFn for all keys."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam

from taskroute.components.measures.binary import BinaryStatistics
from taskroute.components.measures.regression import RegressionStatistics
from taskroute.components.measures.rows import TaskRows
from taskroute.components.measures.scoring import Scorer, ScoringPlan, SliceKey
from taskroute.components.measures.task_metrics import Statistics, measure
from taskroute.schemas.base import Config
from taskroute.schemas.errors import DataError, ServingError, UserError
from taskroute.schemas.evaluation_record import MeasuredTask

_REFUSED = "refused"
_REFUSALS = {kind.__name__: kind for kind in (UserError, DataError, ServingError)}


class MeasuredKey(Config):
    """Measurement of one task on one slice by a worker; num_rows also counts masked rows."""

    task: str
    column: str
    value: str
    num_rows: int
    measured: MeasuredTask


class TaskStatistics(beam.CombineFn):
    """Adds rows of one task and slice up and measures them.

    Args:
        confidence: Confidence level of the intervals.
    """

    def __init__(self, confidence: float):
        super().__init__()
        self._confidence = confidence

    def create_accumulator(self) -> Statistics | None:
        return None

    def add_input(self, accumulator: Statistics | None, rows: TaskRows) -> Statistics:
        if accumulator is None:
            accumulator = new_statistics(rows)
        accumulator.add(rows)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Statistics | None]) -> Statistics | None:
        merged: Statistics | None = None
        for accumulator in accumulators:
            if merged is None:
                merged = accumulator
            elif accumulator is not None:
                merged.merge(accumulator)  # type: ignore[arg-type]
        return merged

    def extract_output(self, accumulator: Statistics | None) -> tuple[int, MeasuredTask]:
        if accumulator is None:
            raise ValueError("a key must have rows. Received: none")
        return accumulator.num_rows, measure(accumulator, self._confidence)


def new_statistics(rows: TaskRows) -> Statistics:
    """Empty statistics for rows like these."""
    if rows.kind == "binary":
        return BinaryStatistics(len(rows.predictions), rows.has_key)
    return RegressionStatistics(len(rows.predictions))


class _ScoreFile(beam.DoFn):
    """Yields the rows of a file; a user's mistake goes to the output `refused` as a sentence."""

    def __init__(self, plan: ScoringPlan):
        super().__init__()
        self._plan = plan
        self._scorer: Scorer | None = None

    # Any: Beam would take the union with its tagged output for the type of the rows.
    def process(self, item: tuple[int, tuple[str, int]]) -> Iterator[Any]:
        number, (file, checked) = item
        try:
            if self._scorer is None:
                self._scorer = Scorer(self._plan)
            yield from self._scorer.read(file, number, checked)
        except UserError as error:
            refusal = {"kind": type(error).__name__, "sentence": str(error)}
            yield beam.pvalue.TaggedOutput(_REFUSED, refusal)

    def teardown(self) -> None:
        self._scorer = None


def run(
    pipeline: beam.Pipeline,
    plan: ScoringPlan,
    files: list[tuple[str, int]],
    confidence: float,
    folder: Path,
) -> None:
    """Measures shards in the pipeline; `read_results` reads the results from `folder`.

    Args:
        pipeline: Pipeline to add to.
        plan: Tasks and models.
        files: Shards, each with the number of its rows to check; see `Scorer.read`.
        confidence: Confidence level of the intervals.
        folder: Folder that gets the results.
    """
    scored = (
        pipeline
        | "Files" >> beam.Create(list(enumerate(files)))
        | "ToWorkers" >> beam.Reshuffle()
        | "Score" >> beam.ParDo(_ScoreFile(plan)).with_outputs(_REFUSED, main="rows")
    )
    measured = (
        scored.rows
        | "Measure" >> beam.CombinePerKey(TaskStatistics(confidence))
        | "ToJson" >> beam.Map(_to_json)
    )
    for name, lines in (
        ("measured", measured),
        (_REFUSED, scored[_REFUSED] | beam.Map(json.dumps)),
    ):
        _ = (
            lines
            | f"Gather {name}" >> beam.combiners.ToList()
            | f"Write {name}" >> beam.Map(_write_lines, str(folder / f"{name}.jsonl"))
        )


def read_results(folder: Path) -> list[MeasuredKey]:
    """Results of `run`, in the order of columns and values.

    Raises:
        DataError: If the rows cannot be measured.
        UserError: If the baseline cannot score them.
        ServingError: If the signatures of the candidate disagree.
    """
    for line in _lines(folder / f"{_REFUSED}.jsonl"):
        refusal = json.loads(line)
        raise _REFUSALS[refusal["kind"]](refusal["sentence"])
    results = [MeasuredKey.model_validate_json(line) for line in _lines(folder / "measured.jsonl")]
    return sorted(results, key=lambda key: (key.column, key.value))


def _to_json(item: tuple[SliceKey, tuple[int, MeasuredTask]]) -> str:
    (task, column, value), (num_rows, measured) = item
    key = MeasuredKey(task=task, column=column, value=value, num_rows=num_rows, measured=measured)
    return key.model_dump_json()


def _write_lines(lines: list[str], path: str) -> None:
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _lines(path: Path) -> list[str]:
    # Not splitlines: a slice's value may hold what that takes for the end of a line.
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line]
