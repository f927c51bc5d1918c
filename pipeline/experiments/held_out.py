"""Metrics of a trained ranker on rows that it was not trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from taskroute.components.measures.rows import TaskRows, row_hashes
from taskroute.components.measures.scoring import ScoringPlan, known_columns, task_rows
from taskroute.components.measures.statistics_fn import new_statistics
from taskroute.models.export import ServedRanker
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import RecommenderConfig

_BATCH_SIZE = 16_384


@dataclass(frozen=True)
class HeldOut:
    """Metrics of a ranker on a split.

    Attributes:
        metrics: Metrics by task; None where one is undefined.
        num_rarer: Rows of a binary task's rarer label, of a regression all, by task.
        num_invalid: Predictions that no task allows.
    """

    metrics: dict[str, dict[str, float | None]]
    num_rarer: dict[str, int]
    num_invalid: int


class HeldOutRows:
    """A split with its labels, weights and group key: the same for every ranker.

    Args:
        config: Config with tasks and group key.
        data: Raw rows and the graph that makes their labels.
        split: Split whose rows are read, and no others.
    """

    def __init__(self, config: RecommenderConfig, data: SharedData, split: str):
        self._plan = ScoringPlan(
            tasks=config.tasks,
            candidate="",
            baseline=None,
            transform_graph=str(data.transform_graph),
            group_key=config.evaluation.group_key,
        )
        self._known = known_columns(self._plan)
        self._split = split
        patterns = data.raw_files(split)
        self._files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))

    def measure(self, served: ServedRanker) -> HeldOut:
        """TaskEvaluator's metrics of a ranker, scored as a server would.

        Raises:
            DataError: If the split is empty, or a label cannot be measured.
        """

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def score(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            return served.score(served.columns(examples))

        statistics: dict[str, Any] = {}
        counts: dict[str, npt.NDArray[np.int64]] = {}
        for number, file in enumerate(self._files):
            start = 0
            records = tf.data.TFRecordDataset(file, "GZIP", buffer_size=2**20)
            for examples in records.batch(_BATCH_SIZE).prefetch(2):
                hashes = row_hashes(number, start, len(examples))
                start += len(hashes)
                for task, rows in self._rows(examples, score(examples), hashes).items():
                    statistics.setdefault(task, new_statistics(rows)).add(rows)
                    counts[task] = counts.get(task, 0) + _counts(rows)
        if not statistics:
            raise DataError(
                f"the {self._split} split holds no row; give it a larger share of the log in "
                "`source.split`"
            )
        metrics = {name: dict(found.estimates().values) for name, found in statistics.items()}
        return HeldOut(
            metrics=metrics,
            num_rarer={name: int(of_task.min()) for name, of_task in counts.items()},
            num_invalid=sum(int(found.num_invalid[0]) for found in statistics.values()),
        )

    def _rows(
        self, examples: tf.Tensor, scores: Mapping[str, tf.Tensor], hashes: Any
    ) -> dict[str, TaskRows]:
        known = {name: values.numpy() for name, values in self._known(examples).items()}
        arrays = {name: values.numpy().reshape(-1) for name, values in scores.items()}
        return task_rows(self._plan, known, [arrays], hashes)


def _counts(rows: TaskRows) -> npt.NDArray[np.int64]:
    """Rows that count: by label of a binary task, of a regression all."""
    labels = rows.labels[rows.weights > 0]
    if rows.kind != "binary":
        return np.array([len(labels)])
    num_positive = np.count_nonzero(labels > 0.5)
    return np.array([len(labels) - num_positive, num_positive])
