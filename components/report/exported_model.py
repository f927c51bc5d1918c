"""Permutation importance of an exported model on rows of the test split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_transform as tft

from taskroute.components.example_files.reader import read_records
from taskroute.components.measures.rows import TaskRows, row_hashes
from taskroute.components.measures.scoring import ScoringPlan, known_columns
from taskroute.components.report.importance import Columns, Importance, permutation_importance
from taskroute.schemas.columns import RawColumn, feature_columns
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import RecommenderConfig

_SIGNATURE = "raw_features"
_BATCH_ROWS = 8192


def measure_importance(
    config: RecommenderConfig,
    model: Path,
    examples: Path,
    transform_graph: Path,
    *,
    num_rows: int,
    repeats: int,
    seed: int = 1,
) -> Importance:
    """Importance of every column that a feature reads, by the signature that takes columns.

    Args:
        config: The run's.
        model: The SavedModel that is served.
        examples: Raw ones, of the test split.
        transform_graph: Which the labels are made with.
        num_rows: How many rows to take, at random; all where there are fewer.
        repeats: How often each column is dealt out anew.
        seed: Of the rows and of the permutations.

    Raises:
        DataError: If the split holds no row.
    """
    serialized = _sample(examples, num_rows, seed)
    if not len(serialized):
        raise DataError(f"{examples}: holds no row; give the test split a larger share of the log")
    spec = tft.TFTransformOutput(str(transform_graph)).raw_feature_spec()
    parsed = tf.io.parse_example(serialized, spec)
    read = feature_columns(config)
    columns = {column.name: _dense(parsed[column.name], column) for column in read}
    # A signature alone does not keep the model's variables alive.
    loaded = tf.saved_model.load(str(model))

    def predict(given: Columns) -> dict[str, npt.NDArray[np.float32]]:
        scores: dict[str, list[npt.NDArray[np.float32]]] = {}
        for start in range(0, len(serialized), _BATCH_ROWS):
            batch = {name: values[start : start + _BATCH_ROWS] for name, values in given.items()}
            inputs = {name: tf.constant(values) for name, values in batch.items()}
            for name, values in loaded.signatures[_SIGNATURE](**inputs).items():
                scores.setdefault(name, []).append(values.numpy())
        return {name: np.concatenate(parts) for name, parts in scores.items()}

    features: dict[str, list[str]] = {}
    for feature in config.features:
        features.setdefault(feature.column, []).append(feature.name)
    return permutation_importance(
        predict,
        columns,
        _task_rows(config, serialized, transform_graph, predict(columns)),
        repeats=repeats,
        seed=seed,
        confidence=config.evaluation.confidence,
        features=features,
    )


def _sample(folder: Path, num_rows: int, seed: int) -> npt.NDArray[np.object_]:
    """Serialized examples, each as likely as any other, in one pass."""
    random = np.random.default_rng(seed)
    kept = np.empty(0, np.object_)
    ranks = np.empty(0)
    for path in sorted(folder.glob("*.gz")):
        for batch in read_records(str(path)).as_numpy_iterator():
            kept = np.concatenate([kept, batch])
            ranks = np.concatenate([ranks, random.random(len(batch))])
            if len(kept) > num_rows:
                lowest = np.argpartition(ranks, num_rows)[:num_rows]
                kept, ranks = kept[lowest], ranks[lowest]
    return kept


def _dense(column: tf.SparseTensor, kind: RawColumn) -> npt.NDArray[Any]:
    """What the signature takes: (N,), or (N, values) of texts; "" and NaN are missing."""
    missing = float("nan") if kind.kind == "number" else ""
    width = None if kind.kind == "texts" else 1
    values = tf.RaggedTensor.from_sparse(column).to_tensor(missing, shape=[None, width]).numpy()
    return values if kind.kind == "texts" else values[:, 0]


def _task_rows(
    config: RecommenderConfig,
    serialized: npt.NDArray[np.object_],
    transform_graph: Path,
    scores: Mapping[str, npt.NDArray[np.float32]],
) -> dict[str, TaskRows]:
    plan = ScoringPlan(
        tasks=config.tasks,
        candidate="",
        baseline=None,
        transform_graph=str(transform_graph),
        group_key=config.evaluation.group_key,
    )
    known = {name: tensor.numpy() for name, tensor in known_columns(plan)(serialized).items()}
    hashes = row_hashes(0, 0, len(serialized))
    units = known["unit"].astype(np.uint64) if plan.group_key else hashes
    rows = {}
    for task in config.tasks:
        labels = known[task.label_key].astype(np.float64)
        rows[task.name] = TaskRows(
            kind=task.kind,
            predictions=scores[task.name][np.newaxis].astype(np.float64),
            labels=task.label.in_own_unit(labels, np),
            weights=known[task.weight_key].astype(np.float64),
            rows=hashes,
            units=units,
            has_key=False,
        )
    return rows
