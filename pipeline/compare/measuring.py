"""What a trained ranker comes to: metrics on the test split, and the time of a request."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from taskroute.components.task_evaluator.rows import TaskRows, row_hashes
from taskroute.components.task_evaluator.scoring import ScoringPlan, known_columns, task_rows
from taskroute.components.task_evaluator.statistics_fn import new_statistics
from taskroute.models.export import TRANSFORMED_FEATURES, ServedRanker
from taskroute.models.warm_up import request_rows
from taskroute.pipeline.compare.shared_data import SharedData
from taskroute.schemas.columns import feature_columns
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import RecommenderConfig

SPLIT = "test"

_BATCH_SIZE = 16_384
_ROWS_FILE = "rows.npz"
_MODEL_FOLDER = "model"
_LATENCY_CALLS = 100


@dataclass(frozen=True)
class HeldOut:
    """What the test split says of a ranker.

    Attributes:
        metrics: By task; None where one is undefined.
        num_rarer: Rows of a binary task's rarer label, of a regression all, by task.
        num_invalid: Predictions that no task allows.
    """

    metrics: dict[str, dict[str, float | None]]
    num_rarer: dict[str, int]
    num_invalid: int


class HeldOutRows:
    """The test split with its labels, weights and group key: the same for every trunk.

    Args:
        config: Whose tasks and group key.
        data: Raw test rows and the graph that makes their labels.
    """

    def __init__(self, config: RecommenderConfig, data: SharedData):
        self._plan = ScoringPlan(
            tasks=config.tasks,
            candidate="",
            baseline=None,
            transform_graph=str(data.transform_graph),
            group_key=config.evaluation.group_key,
        )
        self._known = known_columns(self._plan)
        patterns = data.raw_files(SPLIT)
        self._files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))

    def measure(self, served: ServedRanker) -> HeldOut:
        """TaskEvaluator's metrics of what would be served.

        Raises:
            DataError: If the split is empty, or a label cannot be measured.
        """

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def score(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            return served.score(served.columns(examples))

        statistics: dict[str, Any] = {}
        for number, file in enumerate(self._files):
            start = 0
            records = tf.data.TFRecordDataset(file, "GZIP", buffer_size=2**20)
            for examples in records.batch(_BATCH_SIZE).prefetch(2):
                hashes = row_hashes(number, start, len(examples))
                start += len(hashes)
                for task, rows in self._rows(examples, score(examples), hashes).items():
                    statistics.setdefault(task, new_statistics(rows)).add(rows)
        if not statistics:
            raise DataError(
                "the test split holds no row; give it a larger share of the log in `source.split`"
            )
        metrics = {name: dict(found.estimates().values) for name, found in statistics.items()}
        return HeldOut(
            metrics=metrics,
            num_rarer={
                name: round(found.num_examples * _rarer_share(metrics[name]))
                for name, found in statistics.items()
            },
            num_invalid=sum(int(found.num_invalid[0]) for found in statistics.values()),
        )

    def _rows(
        self, examples: tf.Tensor, scores: Mapping[str, tf.Tensor], hashes: Any
    ) -> dict[str, TaskRows]:
        known = {name: values.numpy() for name, values in self._known(examples).items()}
        arrays = {name: values.numpy().reshape(-1) for name, values in scores.items()}
        return task_rows(self._plan, known, [arrays], hashes)


def _rarer_share(metrics: Mapping[str, float | None]) -> float:
    rate = metrics.get("actual_rate", 1.0) or 0.0
    return min(rate, 1 - rate) if "actual_rate" in metrics else rate


def write_model(
    served: ServedRanker, config: RecommenderConfig, data: SharedData, folder: Path
) -> None:
    """Writes a SavedModel, and beside it a request of the largest batch size, from real rows."""
    tf.saved_model.save(served, str(folder / _MODEL_FOLDER), signatures=served.signatures())
    size = config.serving.batch_sizes[-1]
    names = [column.name for column in feature_columns(config)]
    examples = tf.constant(request_rows(data.raw_files("validation"), size, names))
    features = served.requests(served.columns(examples), examples)[TRANSFORMED_FEATURES]
    rows = np.arange(size) % len(examples)
    np.savez(folder / _ROWS_FILE, **{name: x.numpy()[rows] for name, x in features.items()})


def median_latency(folders: Mapping[str, Path]) -> dict[str, float]:
    """Milliseconds of a request of the largest batch size, the median, by name of the model.

    By the signature that reads transformed features: text and its look-up are the same for all. The
    models take turns, call by call, so that what else the machine does falls on all alike.

    Args:
        folders: As `write_model` leaves them.
    """
    calls = {}
    for name, folder in folders.items():
        # A signature alone does not keep the model's variables alive.
        model = tf.saved_model.load(str(folder / _MODEL_FOLDER))
        with np.load(folder / _ROWS_FILE) as held:
            inputs = {feature: tf.constant(held[feature]) for feature in held.files}
        calls[name] = (model, model.signatures[TRANSFORMED_FEATURES], inputs)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(_LATENCY_CALLS + 3):
        for name, (_, signature, inputs) in calls.items():
            start = time.perf_counter()
            for values in signature(**inputs).values():
                values.numpy()
            if turn >= 3:  # the first ones trace and allocate
                seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * float(np.median(times)) for name, times in seconds.items()}
