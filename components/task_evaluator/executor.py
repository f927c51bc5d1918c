"""TaskEvaluator: the work of the component."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import TypeAdapter
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from taskroute.components.logs.examples import ABSENT_COLUMNS, columns_in
from taskroute.components.measures import statistics_fn
from taskroute.components.measures.scoring import ALL_ROWS, ScoringPlan
from taskroute.components.served.baseline import read_baseline
from taskroute.components.served.request_columns import served_columns
from taskroute.components.task_evaluator.gate import judge
from taskroute.components.task_evaluator.term_slices import vocabularies_to_slice
from taskroute.schemas.columns import stored_for_served
from taskroute.schemas.errors import DataError
from taskroute.schemas.evaluation import Evaluation
from taskroute.schemas.evaluation_record import Baseline, MeasuredSlice, Measurements, Verdict
from taskroute.schemas.features import Feature
from taskroute.schemas.findings import Finding, Findings
from taskroute.schemas.tasks import Task

TASKS = TypeAdapter(tuple[Task, ...])
FEATURES = TypeAdapter(tuple[Feature, ...])

SPLIT = "test"

# Rows are scored by columns; on so many, requests of tf.Examples must give the same scores.
CHECKED_ROWS = 10_000

# Where TFX's own components look for a blessing; its constants sit in a package that takes 17
# seconds to import.
_BLESSED_PROPERTY = "blessed"
_BLESSED_FILE = {True: "BLESSED", False: "NOT_BLESSED"}


class Executor(base_beam_executor.BaseBeamExecutor):
    """Scores the test split, writes the evaluation and the blessing."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the component.

        Args:
            input_dict: `examples`, raw; `model`, the candidate; `transform_graph`.
            output_dict: `evaluation`, gets metrics.json, verdict.json and TFMA's files; `blessing`.
            exec_properties: `tasks` and `features`, JSON arrays of their configs; `settings`, an
                `Evaluation` as JSON; `serving`, the folder of the model's versions, "" where there
                is none.

        Raises:
            DataError: If the test split is empty or a label in it cannot be measured.
            UserError: If the baseline cannot score the test split.
            ServingError: If `serving_default` scores rows otherwise than `raw_features`.
        """
        started = time.perf_counter()
        tasks = TASKS.validate_json(exec_properties["tasks"])
        settings = Evaluation.model_validate_json(exec_properties["settings"])
        features = FEATURES.validate_json(exec_properties["features"])
        serving = exec_properties["serving"]
        baseline = read_baseline(serving) if serving else None
        model = artifact_utils.get_single_instance(input_dict["model"])
        candidate = path_utils.serving_model_path(
            model.uri, path_utils.is_old_model_artifact(model)
        )
        folder = artifact_utils.get_split_uri(input_dict["examples"], SPLIT)
        files = sorted(Path(folder).glob("*.parquet"))
        plan = ScoringPlan(
            tasks=tasks,
            candidate=candidate,
            baseline=baseline.path if baseline else None,
            transform_graph=artifact_utils.get_single_uri(input_dict["transform_graph"]),
            slices=settings.slices,
            group_key=settings.group_key,
            vocabularies=vocabularies_to_slice(candidate, features, settings, files),
        )
        evaluation = Path(artifact_utils.get_single_uri(output_dict["evaluation"]))
        results = self._measure(plan, files, settings.confidence, evaluation)
        if not results:
            raise DataError(
                f"{folder}: the test split holds no row; give it a larger share of the log"
            )
        unseen = () if baseline is None else _unseen_columns(input_dict["examples"][0], serving)
        measurements = _gather(results, tasks, settings.confidence, baseline, started)
        verdict = judge(settings.gates, measurements)
        if unseen:
            verdict = _without_columns(verdict, unseen, evaluation)
        measurements.write(evaluation)
        verdict.write(evaluation)
        # TFMA takes seconds to import; in a pipeline TFX has done so already.
        from taskroute.components.task_evaluator.tfma_files import write_tfma_files

        write_tfma_files(evaluation, measurements, verdict, tasks, candidate)
        _bless(artifact_utils.get_single_instance(output_dict["blessing"]), verdict, model)

    def _measure(
        self, plan: ScoringPlan, examples: Sequence[Path], confidence: float, evaluation: Path
    ) -> list[statistics_fn.MeasuredKey]:
        files = _with_rows_to_check(examples)
        work = evaluation / ".work"
        work.mkdir(parents=True, exist_ok=True)
        try:
            with self._make_beam_pipeline() as pipeline:
                statistics_fn.run(pipeline, plan, files, confidence, work)
            return statistics_fn.read_results(work)
        finally:
            shutil.rmtree(work)


def _unseen_columns(examples: types.Artifact, serving: str) -> tuple[str, ...]:
    """Columns that the served version reads, and the examples have no value of."""
    file = next(Path(artifact_utils.get_split_uri([examples], SPLIT)).glob("*.parquet"))
    stored = set(pq.read_schema(file).names)
    present = stored.difference(columns_in(examples, ABSENT_COLUMNS))
    unseen = []
    for column in served_columns(serving):
        own = stored_for_served(column.name, column.kind)
        if (own if own in stored else column.name) not in present:
            unseen.append(column.name)
    return tuple(unseen)


def _without_columns(verdict: Verdict, columns: Sequence[str], evaluation: Path) -> Verdict:
    """Says, in the verdict and as findings, that the baseline was scored without columns."""
    Findings(
        findings=tuple(
            Finding(
                kind="missing_column",
                subject=column,
                sentence=f"column '{column}', which the served version reads and the log has not: "
                "the baseline was scored without it, and may be better with it",
            )
            for column in columns
        )
    ).write(evaluation)
    names = ", ".join(f"'{column}'" for column in columns)
    summary = f"{verdict.summary}; the baseline was scored without {names}, which the log lacks"
    return verdict.model_copy(update={"summary": summary})


def _with_rows_to_check(files: Sequence[Path]) -> list[tuple[str, int]]:
    """Pairs each file with the number of its rows among the first CHECKED_ROWS of all."""
    counted, left = [], CHECKED_ROWS
    for file in files:
        checked = min(pq.read_metadata(file).num_rows, left) if left else 0
        counted.append((str(file), checked))
        left -= checked
    return counted


def _gather(
    results: Sequence[statistics_fn.MeasuredKey],
    tasks: Sequence[Task],
    confidence: float,
    baseline: Baseline | None,
    started: float,
) -> Measurements:
    """Gathers all measurements, tasks in the order of the config."""
    slices: dict[tuple[str, str], dict[str, statistics_fn.MeasuredKey]] = {}
    for key in results:
        slices.setdefault((key.column, key.value), {})[key.task] = key
    all_rows = slices.pop(ALL_ROWS)
    return Measurements(
        split=SPLIT,
        num_examples=all_rows[tasks[0].name].num_rows,
        seconds=time.perf_counter() - started,
        confidence=confidence,
        baseline=baseline,
        compared={task.name: all_rows[task.name].measured for task in tasks},
        slices=tuple(
            MeasuredSlice(
                column=column,
                value=value,
                tasks={task.name: by_task[task.name].measured.without_bins() for task in tasks},
            )
            for (column, value), by_task in slices.items()
        ),
    )


def _bless(blessing: types.Artifact, verdict: Verdict, model: types.Artifact) -> None:
    folder = Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _BLESSED_FILE[verdict.blessed]).touch()
    blessing.set_int_custom_property(_BLESSED_PROPERTY, int(verdict.blessed))
    blessing.set_string_custom_property("current_model", model.uri)
    blessing.set_int_custom_property("current_model_id", model.id)
