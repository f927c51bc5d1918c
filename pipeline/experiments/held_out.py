"""Metrics of a trained ranker on rows that it was not trained on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from taskroute.components.logs.example_tensors import sparse_columns
from taskroute.components.logs.examples import read_batches
from taskroute.components.measures.rows import TaskRows, row_hashes
from taskroute.components.measures.scoring import TaskRowMaker
from taskroute.components.measures.statistics_fn import new_statistics
from taskroute.models.export import ServedRanker
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import RecommenderConfig


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
        self._task_rows = TaskRowMaker(
            config.tasks, str(data.transform_graph), config.evaluation.group_key
        )
        self._split = split
        patterns = data.raw_files(split)
        self._files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))

    def measure(self, served: ServedRanker) -> HeldOut:
        """TaskEvaluator's metrics of a ranker, scored as a server would.

        Raises:
            DataError: If the split is empty, or a label cannot be measured.
        """
        specs = served.column_specs()
        function = tf.function(served.score, input_signature=[specs], autograph=False)
        statistics: dict[str, Any] = {}
        counts: dict[str, npt.NDArray[np.int64]] = {}
        for number, file in enumerate(self._files):
            start = 0
            for batch in read_batches(file):
                hashes = row_hashes(number, start, len(batch))
                start += len(batch)
                scores = function(sparse_columns(batch, specs))
                arrays = {name: values.numpy() for name, values in scores.items()}
                for task, rows in self._task_rows(batch, [arrays], hashes).items():
                    statistics.setdefault(task, new_statistics(rows)).add(rows)
                    counts[task] = counts.get(task, 0) + _counts(rows)
        if not statistics:
            raise DataError(
                f"the {self._split} split holds no row; give it a larger share of the log in "
                "`source.split`"
            )
        metrics = {name: dict(each.estimates().values) for name, each in statistics.items()}
        return HeldOut(
            metrics=metrics,
            num_rarer={name: int(of_task.min()) for name, of_task in counts.items()},
            num_invalid=sum(int(each.num_invalid[0]) for each in statistics.values()),
        )


def _counts(rows: TaskRows) -> npt.NDArray[np.int64]:
    """Numbers of rows that count: by label of a binary task, of a regression all."""
    labels = rows.labels[rows.weights > 0]
    if rows.kind != "binary":
        return np.array([len(labels)])
    num_positive = np.count_nonzero(labels > 0.5)
    return np.array([len(labels) - num_positive, num_positive])
