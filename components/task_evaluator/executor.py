"""TaskEvaluator: the work of the component."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from pydantic import TypeAdapter
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from taskroute.components.task_evaluator.gate import (
    Measurements,
    Verdict,
    judge,
    write_evaluation,
)
from taskroute.components.task_evaluator.metrics import STATISTICS, Statistics
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import Gate
from taskroute.schemas.tasks import Task

EXAMPLES_KEY = "examples"
MODEL_KEY = "model"
TRANSFORM_GRAPH_KEY = "transform_graph"
EVALUATION_KEY = "evaluation"
BLESSING_KEY = "blessing"
TASKS_KEY = "tasks"
GATES_KEY = "gates"

TASKS = TypeAdapter(tuple[Task, ...])
GATES = TypeAdapter(tuple[Gate, ...])

SPLIT = "test"
SIGNATURE = "serving_default"
BATCH_SIZE = 4096

# Where TFX's own components look for a blessing; its constants sit in a package that takes 17
# seconds to import.
_BLESSED_PROPERTY = "blessed"
_BLESSED_FILE = {True: "BLESSED", False: "NOT_BLESSED"}

# Serialized examples (B,) to predictions, labels and weights by task, each float32 (B,).
Scorer = Callable[[tf.Tensor], dict[str, tuple[tf.Tensor, tf.Tensor, tf.Tensor]]]


class Executor(base_executor.BaseExecutor):
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
            output_dict: `evaluation`, gets metrics.json and verdict.json; `blessing`.
            exec_properties: `tasks` and `gates`, JSON arrays of their configs.

        Raises:
            DataError: If the test split is empty or a label in it cannot be measured.
        """
        started = time.perf_counter()
        tasks = TASKS.validate_json(exec_properties[TASKS_KEY])
        gates = GATES.validate_json(exec_properties[GATES_KEY])
        model = artifact_utils.get_single_instance(input_dict[MODEL_KEY])
        scorer = make_scorer(
            path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model)),
            artifact_utils.get_single_uri(input_dict[TRANSFORM_GRAPH_KEY]),
            tasks,
        )
        folder = artifact_utils.get_split_uri(input_dict[EXAMPLES_KEY], SPLIT)
        statistics, num_examples = measure(read_examples(folder), scorer, tasks)
        if not num_examples:
            raise DataError(
                f"{folder}: the test split holds no row; give it a larger share of the log"
            )

        metrics = {name: collected.metrics() for name, collected in statistics.items()}
        verdict = judge(gates, metrics)
        measurements = Measurements(
            split=SPLIT,
            num_examples=num_examples,
            seconds=time.perf_counter() - started,
            tasks=metrics,
        )
        evaluation_folder = artifact_utils.get_single_uri(output_dict[EVALUATION_KEY])
        write_evaluation(evaluation_folder, measurements, verdict)
        _bless(artifact_utils.get_single_instance(output_dict[BLESSING_KEY]), verdict, model)


def read_examples(folder: str) -> tf.data.Dataset:
    """Batches of serialized examples, string (B,), from the gzipped TFRecords of a folder."""
    files = sorted(str(path) for path in Path(folder).glob("*.gz"))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")
    return records.batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE)


def make_scorer(model_folder: str, transform_folder: str, tasks: Sequence[Task]) -> Scorer:
    """Joins the exported model and the transform graph into one graph.

    Args:
        model_folder: SavedModel whose `serving_default` maps serialized examples to one
            prediction per task.
        transform_folder: Output of TFX Transform, with the metadata of the raw examples.
        tasks: Whose predictions, labels and weights are wanted.

    Returns:
        Function of string (B,) that gives `{task: (prediction, label, weight)}`, float32 (B,).
        Labels are as the transform graph makes them, so a log1p label is not turned back.

    Raises:
        ValueError: If the model has no output for a task.
    """
    model = tf.saved_model.load(model_folder)
    outputs = model.signatures[SIGNATURE].structured_outputs
    for task in tasks:
        if task.name not in outputs:
            raise ValueError(
                f"{model_folder}: `{SIGNATURE}` must have an output for every task. "
                f"Received: outputs {sorted(outputs)}, task {task.name!r}"
            )
    transform_output = tft.TFTransformOutput(transform_folder)
    raw_feature_spec = transform_output.raw_feature_spec()
    transform = transform_output.transform_features_layer()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def score(serialized: tf.Tensor) -> dict[str, tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        # Through `model`: a signature alone does not keep the model's variables alive.
        predictions = model.signatures[SIGNATURE](examples=serialized)
        transformed = transform(tf.io.parse_example(serialized, raw_feature_spec))
        return {
            task.name: (
                tf.reshape(predictions[task.name], [-1]),
                tf.reshape(transformed[task.label_key], [-1]),
                tf.reshape(transformed[task.weight_key], [-1]),
            )
            for task in tasks
        }

    return score


def measure(
    batches: tf.data.Dataset, scorer: Scorer, tasks: Sequence[Task]
) -> tuple[dict[str, Statistics], int]:
    """Statistics by task over all batches, and the number of rows read.

    Raises:
        DataError: If a row's label or weight is not what the task allows.
    """
    statistics: dict[str, Any] = {task.name: STATISTICS[task.kind].empty() for task in tasks}
    num_examples = 0
    for serialized in batches:
        scored = scorer(serialized)
        num_examples += int(serialized.shape[0])
        for task in tasks:
            prediction, label, weight = (column.numpy() for column in scored[task.name])
            try:
                batch = STATISTICS[task.kind].of(prediction, _in_column_units(label, task), weight)
            except ValueError as error:
                raise DataError(
                    f"test split, label column '{task.label.column}' of task '{task.name}': "
                    f"{error}; mend those rows of the log"
                ) from error
            statistics[task.name] += batch
    return statistics, num_examples


def _in_column_units(label: np.ndarray, task: Task) -> np.ndarray:
    if task.label.transform == "log1p":
        return np.expm1(label.astype(np.float64))
    return label


def _bless(blessing: types.Artifact, verdict: Verdict, model: types.Artifact) -> None:
    folder = Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _BLESSED_FILE[verdict.blessed]).touch()
    blessing.set_int_custom_property(_BLESSED_PROPERTY, int(verdict.blessed))
    blessing.set_string_custom_property("current_model", model.uri)
    blessing.set_int_custom_property("current_model_id", model.id)
