"""Scores rows through the signature that servers call, with their labels, slices and keys."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_transform as tft

from taskroute.components.measures.rows import TaskRows, row_hashes
from taskroute.schemas.errors import DataError, UserError
from taskroute.schemas.tasks import Task

SIGNATURE = "serving_default"
BATCH_SIZE = 16_384

# More values than a person reads; each costs memory and time.
MAX_SLICES = 1000

# The task, and the slice as column and value; ("", "") is all rows.
SliceKey = tuple[str, str, str]
ALL_ROWS = ("", "")


@dataclass(frozen=True)
class ScoringPlan:
    """What to score, by which models: plain data, for any worker.

    Attributes:
        tasks: Whose predictions, labels and weights are wanted.
        candidate: Folder of its SavedModel.
        baseline: Folder of the served one, if any.
        transform_graph: Output of TFX Transform, with the metadata of the raw examples.
        slices: Columns by whose values rows are cut.
        group_key: Column of the unit, if any.
    """

    tasks: tuple[Task, ...]
    candidate: str
    baseline: str | None
    transform_graph: str
    slices: tuple[str, ...] = ()
    group_key: str | None = None


class Scorer:
    """Turns files of serialized examples into rows by task and slice.

    Raises:
        ValueError: If the candidate has no output for a task.
        UserError: If the baseline cannot be loaded.
    """

    def __init__(self, plan: ScoringPlan):
        self._plan = plan
        self._candidate = SavedSignature(plan.candidate)
        self._baseline = None
        for task in plan.tasks:
            if task.name not in self._candidate.outputs:
                raise ValueError(
                    f"{plan.candidate}: `{SIGNATURE}` must have an output for every task. "
                    f"Received: outputs {sorted(self._candidate.outputs)}, task {task.name!r}"
                )
        if plan.baseline is not None:
            try:
                self._baseline = SavedSignature(plan.baseline)
            except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
                raise _no_baseline(plan.baseline, error) from error
        self._known = known_columns(plan)

    def read(self, file: str, number: int) -> Iterator[tuple[SliceKey, TaskRows]]:
        """Scores a gzipped TFRecord file.

        Args:
            file: Its path.
            number: Its place among the files: rows of equal place and number are the same row.

        Yields:
            Rows of one task: first those of a whole batch, then those of each of its slices.

        Raises:
            DataError: If a label or weight is not what the task allows, or a slice column holds
                more values than `MAX_SLICES`.
            UserError: If the baseline cannot score the rows.
        """
        records = tf.data.TFRecordDataset(file, compression_type="GZIP", buffer_size=2**20)
        start = 0
        values: dict[str, set[str]] = {column: set() for column in self._plan.slices}
        for serialized in records.batch(BATCH_SIZE).prefetch(2):
            known = {name: tensor.numpy() for name, tensor in self._known(serialized).items()}
            hashes = row_hashes(number, start, len(known["size"]))
            start += len(hashes)
            rows = self._rows(serialized, known, hashes)
            for task, scored in rows.items():
                yield (task, *ALL_ROWS), scored
            for column in self._plan.slices:
                yield from _cut(column, known, rows, values[column])

    def _rows(
        self, serialized: tf.Tensor, known: Mapping[str, Any], hashes: npt.NDArray[np.uint64]
    ) -> dict[str, TaskRows]:
        scores = [self._candidate(serialized)]
        if self._baseline is not None:
            try:
                scores.append(self._baseline(serialized))
            except tf.errors.OpError as error:
                raise _no_baseline(self._plan.baseline or "", error) from error
        return task_rows(self._plan, known, scores, hashes)


def task_rows(
    plan: ScoringPlan,
    known: Mapping[str, Any],
    scores: Sequence[Mapping[str, Any]],
    hashes: npt.NDArray[np.uint64],
) -> dict[str, TaskRows]:
    """A batch of rows as each task's metrics see it.

    Args:
        plan: Says which tasks, and whether rows have a group key.
        known: What `known_columns` gives, as arrays.
        scores: Of each model, by output, (B,); a model need not have every task.
        hashes: (B,), of the rows.

    Raises:
        DataError: If a label or weight is not what the task allows.
    """
    units = known["unit"].astype(np.uint64) if plan.group_key else hashes
    result = {}
    for task in plan.tasks:
        label = task.label.in_own_unit(known[task.label_key].astype(np.float64), np)
        of_task = [score[task.name] for score in scores if task.name in score]
        predictions = np.array(of_task, np.float64).reshape(-1, len(label))
        result[task.name] = TaskRows(
            kind=task.kind,
            predictions=predictions,
            labels=label,
            weights=known[task.weight_key].astype(np.float64),
            rows=hashes,
            units=units,
            has_key=plan.group_key is not None,
        )
        try:
            result[task.name].check()
        except ValueError as error:
            raise DataError(
                f"test split, label column '{task.label.column}' of task '{task.name}': "
                f"{error}; mend those rows of the log"
            ) from error
    return result


class SavedSignature:
    """The signature of a SavedModel, as a function of serialized examples."""

    def __init__(self, folder: str):
        # A signature alone does not keep the model's variables alive.
        self._model = tf.saved_model.load(folder)
        self._signature = self._model.signatures[SIGNATURE]
        (self._input,) = self._signature.structured_input_signature[1]
        self.outputs = tuple(self._signature.structured_outputs)

    def __call__(self, serialized: tf.Tensor) -> dict[str, npt.NDArray[np.float32]]:
        """(B,) by output."""
        outputs = self._signature(**{self._input: serialized})
        return {name: output.numpy().reshape(-1) for name, output in outputs.items()}


def _no_baseline(folder: str, error: Exception) -> UserError:
    cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return UserError(
        f"{folder}: the baseline cannot score the test split: {cause}; go back to a version that "
        "can with `taskroute rollback`, or delete LATEST_BLESSED.json to start without one"
    )


def known_columns(plan: ScoringPlan) -> Any:
    """A function of string (B,) that gives what is known of rows beside their scores.

    `label/*` and `weight/*` float32 (B,), as the transform graph makes them; `unit` int64 (B,);
    `values/COLUMN` string (U,), the distinct values, and `index/COLUMN` int32 (B,) into them;
    `size` (B,).
    """
    output = tft.TFTransformOutput(plan.transform_graph)
    spec = output.raw_feature_spec()
    transform = output.transform_features_layer()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def known(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        columns = tf.io.parse_example(serialized, spec)
        transformed = transform(dict(columns))
        keys = [key for task in plan.tasks for key in (task.label_key, task.weight_key)]
        result = {key: tf.reshape(transformed[key], [-1]) for key in keys}
        for column in plan.slices:
            values, index = tf.unique(_text(columns[column]))
            result[f"values/{column}"], result[f"index/{column}"] = values, index
        if plan.group_key is not None:
            text = _text(columns[plan.group_key])
            result["unit"] = tf.strings.to_hash_bucket_fast(text, 2**62)
        result["size"] = tf.strings.length(serialized)
        return result

    # The layer holds the transform graph; it must live as long as the function.
    known.transform = transform
    return known


def _text(column: tf.SparseTensor | tf.Tensor) -> tf.Tensor:
    """string (B,): a column with at most one value a row, "" where it has none."""
    if not isinstance(column, tf.SparseTensor):
        column = tf.sparse.from_dense(tf.reshape(column, [tf.shape(column)[0], -1]))
    if column.dtype != tf.string:
        column = tf.sparse.map_values(lambda x: tf.strings.as_string(x, shortest=True), column)
    shape = tf.stack([column.dense_shape[0], tf.ones([], tf.int64)])
    one_wide = tf.SparseTensor(column.indices, column.values, shape)
    return tf.reshape(tf.sparse.to_dense(one_wide, ""), [-1])


def _cut(
    column: str, known: Mapping[str, Any], rows: Mapping[str, TaskRows], seen: set[str]
) -> Iterator[tuple[SliceKey, TaskRows]]:
    """Rows by task and value of a column."""
    values = [value.decode("utf-8", "replace") for value in known[f"values/{column}"]]
    seen.update(values)
    if len(seen) > MAX_SLICES:
        raise DataError(
            f"test split, column '{column}': has more than {MAX_SLICES} values; take it out of "
            "`evaluation.slices` or give a coarser column"
        )
    index = known[f"index/{column}"]
    order = np.argsort(index, kind="stable")
    ends = np.cumsum(np.bincount(index, minlength=len(values)))
    for task, scored in rows.items():
        for place, (value, end) in enumerate(zip(values, ends.tolist(), strict=True)):
            start = int(ends[place - 1]) if place else 0
            # A copy: a view would keep the whole batch for the few rows of a rare value.
            yield (task, column, value), scored[order[start:end]]
