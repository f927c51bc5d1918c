"""Permutation importance of an exported model on rows of the test split."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from taskroute.components.logs.example_tensors import dense_columns
from taskroute.components.logs.examples import read_batches
from taskroute.components.measures.rows import row_hashes
from taskroute.components.measures.scoring import RAW_FEATURES, TaskRowMaker
from taskroute.components.report.importance import Columns, Importance, permutation_importance
from taskroute.schemas.columns import request_columns
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import RecommenderConfig

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
    """Measures the importance of every column of a feature, by the signature that takes columns.

    Args:
        config: Config of the run.
        model: Served SavedModel.
        examples: Raw examples of the test split.
        transform_graph: TransformGraph that makes the labels.
        num_rows: Number of rows to draw at random; all where there are fewer.
        repeats: Number of permutations of each column.
        seed: Seed of the drawn rows and of the permutations.

    Raises:
        DataError: If the split holds no row.
    """
    batch = _sample(examples, num_rows, seed)
    if batch is None:
        raise DataError(f"{examples}: holds no row; give the test split a larger share of the log")
    # A signature alone does not keep the model's variables alive.
    loaded = tf.saved_model.load(str(model))
    signature = loaded.signatures[RAW_FEATURES]
    inputs = {column.name: column.input for column in request_columns(config)}
    tensors = dense_columns(
        batch,
        signature.structured_input_signature[1],
        {name: column for column, name in inputs.items()},
    )
    columns = {column: tensors[name].numpy() for column, name in inputs.items()}

    def predict(permuted: Columns) -> dict[str, npt.NDArray[np.float32]]:
        scores: dict[str, list[npt.NDArray[np.float32]]] = {}
        for start in range(0, len(batch), _BATCH_ROWS):
            part = {name: values[start : start + _BATCH_ROWS] for name, values in permuted.items()}
            request = {inputs[column]: tf.constant(values) for column, values in part.items()}
            for name, values in signature(**request).items():
                scores.setdefault(name, []).append(values.numpy())
        return {name: np.concatenate(parts) for name, parts in scores.items()}

    make_rows = TaskRowMaker(config.tasks, str(transform_graph), config.evaluation.group_key)
    features: dict[str, list[str]] = {}
    for feature in config.features:
        features.setdefault(feature.column, []).append(feature.name)
    return permutation_importance(
        predict,
        columns,
        make_rows(batch, [predict(columns)], row_hashes(0, 0, len(batch))),
        repeats=repeats,
        seed=seed,
        confidence=config.evaluation.confidence,
        features=features,
    )


def _sample(folder: Path, num_rows: int, seed: int) -> pa.RecordBatch | None:
    """Draws rows, each as likely as any other, in one pass; None where there are none."""
    random = np.random.default_rng(seed)
    sample, ranks = [], np.empty(0)
    for path in sorted(folder.glob("*.parquet")):
        for batch in read_batches(str(path)):
            sample.append(batch)
            ranks = np.concatenate([ranks, random.random(len(batch))])
            if len(ranks) > num_rows:
                lowest = np.argpartition(ranks, num_rows)[:num_rows]
                ranks = ranks[lowest]
                sample = [_join(sample).take(pa.array(lowest))]
    return _join(sample) if sample else None


def _join(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    (joined,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return joined
