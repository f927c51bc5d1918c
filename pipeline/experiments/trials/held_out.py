"""What a trained ranker comes to: metrics on rows that it was not trained on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from taskroute.components.logs.example_tensors import sparse_columns
from taskroute.components.logs.examples import read_batches
from taskroute.components.measures.rows import TaskRows, row_hashes
from taskroute.components.measures.scoring import TaskRowMaker
from taskroute.components.measures.statistics_fn import new_statistics
from taskroute.models.export import ServedRanker
from taskroute.pipeline.experiments.trials.shared_data import SharedData
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import RecommenderConfig

# From raw examples to what would be served of them, (B,) by output.
Score = Callable[[pa.RecordBatch], Mapping[str, npt.ArrayLike]]


def score_of(served: ServedRanker) -> Score:
    """Scores as a server would."""

    specs = served.column_specs()
    function = tf.function(served.score, input_signature=[specs], autograph=False)

    def score(batch: pa.RecordBatch) -> dict[str, npt.ArrayLike]:
        return {name: x.numpy() for name, x in function(sparse_columns(batch, specs)).items()}

    return score


@dataclass(frozen=True)
class HeldOut:
    """What a split says of a ranker.

    Attributes:
        metrics: By task; None where one is undefined.
        num_rarer: Rows of a binary task's rarer label, of a regression all, by task.
        num_invalid: Predictions that no task allows.
    """

    metrics: dict[str, dict[str, float | None]]
    num_rarer: dict[str, int]
    num_invalid: int


class HeldOutRows:
    """A split with its labels, weights and group key: the same for every ranker.

    Args:
        config: Whose tasks and group key.
        data: Raw rows and the graph that makes their labels.
        split: Whose rows; no others are read.
    """

    def __init__(self, config: RecommenderConfig, data: SharedData, split: str):
        self._task_rows = TaskRowMaker(
            config.tasks, str(data.transform_graph), config.evaluation.group_key
        )
        self._split = split
        patterns = data.raw_files(split)
        self._files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))

    def measure(self, score: Score) -> HeldOut:
        """TaskEvaluator's metrics.

        Raises:
            DataError: If the split is empty, or a label cannot be measured.
        """
        statistics: dict[str, Any] = {}
        counts: dict[str, npt.NDArray[np.int64]] = {}
        for number, file in enumerate(self._files):
            start = 0
            for batch in read_batches(file):
                hashes = row_hashes(number, start, len(batch))
                start += len(batch)
                for task, rows in self._task_rows(batch, [score(batch)], hashes).items():
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


def _counts(rows: TaskRows) -> npt.NDArray[np.int64]:
    """Rows that count: by label of a binary task, of a regression all."""
    labels = rows.labels[rows.weights > 0]
    if rows.kind != "binary":
        return np.array([len(labels)])
    num_positive = np.count_nonzero(labels > 0.5)
    return np.array([len(labels) - num_positive, num_positive])
