"""Scores raw examples by a served model, with their labels, slices and keys."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
import tensorflow_transform as tft

from taskroute.components.logs.example_tensors import dense_columns, sparse_columns, tf_examples
from taskroute.components.logs.examples import read_batches
from taskroute.components.logs.hashes import hash_texts
from taskroute.components.measures.rows import TaskRows, row_hashes
from taskroute.components.measures.vocabularies import Vocabularies, is_known
from taskroute.schemas.columns import stored_for_served
from taskroute.schemas.errors import DataError, ServingError, UserError
from taskroute.schemas.evaluation import KNOWN, MAX_SLICES, NEW, terms_slice
from taskroute.schemas.serving import ModelInfo
from taskroute.schemas.tasks import Task

RAW_FEATURES, SERVING_DEFAULT = "raw_features", "serving_default"

# Largest difference, absolute and relative, between the scores of two signatures for one row.
_TOLERANCE = 1e-5

# The task, and the slice as column and value; ("", "") is all rows.
SliceKey = tuple[str, str, str]
ALL_ROWS = ("", "")

Scores = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class ScoringPlan:
    """Plan of a scoring: tasks and models, as plain data for any worker.

    Attributes:
        tasks: Tasks whose predictions, labels and weights are made.
        candidate: Folder of its SavedModel.
        baseline: Folder of the served version, if any.
        transform_graph: Output of Transform, with the metadata of the raw examples.
        slices: Columns whose values define the slices.
        group_key: Column of the unit, if any.
        vocabularies: Terms of the candidate, by column that has slices of new and of known terms.
    """

    tasks: tuple[Task, ...]
    candidate: str
    baseline: str | None
    transform_graph: str
    slices: tuple[str, ...] = ()
    group_key: str | None = None
    vocabularies: Vocabularies = field(default_factory=dict)


class Scorer:
    """Turns shards of raw examples into rows by task and slice.

    Raises:
        ValueError: If the candidate has no output for a task.
        UserError: If the baseline cannot be loaded.
    """

    def __init__(self, plan: ScoringPlan):
        self._plan = plan
        self._candidate = ServedModel(plan.candidate)
        self._baseline = None
        for task in plan.tasks:
            if task.name not in self._candidate.outputs:
                raise ValueError(
                    f"{plan.candidate}: `{RAW_FEATURES}` must have an output for every task. "
                    f"Received: outputs {sorted(self._candidate.outputs)}, task {task.name!r}"
                )
        if plan.baseline is not None:
            try:
                self._baseline = ServedModel(plan.baseline)
            except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
                raise _no_baseline(plan.baseline, error) from error
        self._task_rows = TaskRowMaker(plan.tasks, plan.transform_graph, plan.group_key)

    def read(self, file: str, number: int, checked: int = 0) -> Iterator[tuple[SliceKey, TaskRows]]:
        """Scores a shard.

        Args:
            file: Its path.
            number: Its place among the files: rows of equal place and number are the same row.
            checked: Number of its first rows whose scores `serving_default` must give too.

        Yields:
            Rows of one task: first those of a whole batch, then those of each of its slices.

        Raises:
            DataError: If a label or weight is not what the task allows, or a slice column holds
                more values than `MAX_SLICES`.
            UserError: If the baseline cannot score the rows.
            ServingError: If the signatures of the candidate give a row different scores.
        """
        start = 0
        values: dict[str, set[str]] = {column: set() for column in self._plan.slices}
        for batch in read_batches(file):
            scores = [self._candidate.score(batch)]
            if start < checked:
                self._check_signatures(batch.slice(0, checked - start), scores[0], file, start)
            if self._baseline is not None:
                try:
                    scores.append(self._baseline.score(batch))
                except (ValueError, tf.errors.OpError) as error:
                    raise _no_baseline(self._plan.baseline or "", error) from error
            rows = self._task_rows(batch, scores, row_hashes(number, start, len(batch)))
            start += len(batch)
            for task, scored in rows.items():
                yield (task, *ALL_ROWS), scored
            for column in self._plan.slices:
                texts, index = _distinct_texts(batch[column])
                values[column].update(text.decode("utf-8", "replace") for text in texts)
                if len(values[column]) > MAX_SLICES:
                    raise DataError(
                        f"test split, column '{column}': has more than {MAX_SLICES} values; take "
                        "it out of `evaluation.slices` or give a coarser column"
                    )
                yield from _cut(column, texts, index, rows)
            for column, vocabulary in self._plan.vocabularies.items():
                kinds, index = _new_or_known(batch[column], vocabulary)
                yield from _cut(terms_slice(column), kinds, index, rows)

    def _check_signatures(
        self, batch: pa.RecordBatch, expected: Mapping[str, npt.ArrayLike], file: str, start: int
    ) -> None:
        for name, served in self._candidate.score_examples(batch).items():
            raw = np.asarray(expected[name])[: len(batch)]
            is_close = np.isclose(served, raw, _TOLERANCE, _TOLERANCE, equal_nan=True)
            if not is_close.all():
                row = int(np.argmin(is_close))
                raise ServingError(
                    f"the model does not serve: row {start + row + 1} of {file} has a {name} of "
                    f"{served[row]:.6g} by `{SERVING_DEFAULT}` and of {raw[row]:.6g} by "
                    f"`{RAW_FEATURES}`; report this as a bug, with your config"
                )


class TaskRowMaker:
    """Joins scores with labels, weights and units.

    Args:
        tasks: Tasks to make rows of.
        transform_graph: Makes labels and weights.
        group_key: Column of the unit; None makes each row its own, as a missing value does.
    """

    def __init__(self, tasks: Sequence[Task], transform_graph: str, group_key: str | None = None):
        self._tasks = tasks
        self._group_key = group_key
        output = tft.TFTransformOutput(transform_graph)
        dtypes = {name: feature.dtype for name, feature in output.raw_feature_spec().items()}
        # The function must keep the layer alive, which holds the graph.
        layer = self._layer = output.transform_features_layer()
        texts = {task.label.column for task in tasks if task.label.texts}
        self._read = {
            name: tf.SparseTensorSpec([None, None], dtype)
            for name, dtype in dtypes.items()
            if dtype == tf.float32 or name in texts
        }

        def labels(read: dict[str, tf.SparseTensor]) -> dict[str, tf.Tensor]:
            # Of texts only labels are read: what features make of others is not run.
            num_rows = next(iter(read.values())).dense_shape[0]
            columns = {name: _no_values(num_rows, dtype) for name, dtype in dtypes.items()}
            transformed = layer({**columns, **read})
            keys = [key for task in tasks for key in (task.label_key, task.weight_key)]
            return {key: tf.reshape(transformed[key], [-1]) for key in keys}

        self._labels = tf.function(labels, input_signature=[self._read], autograph=False)

    def __call__(
        self,
        batch: pa.RecordBatch,
        scores: Sequence[Mapping[str, npt.ArrayLike]],
        hashes: npt.NDArray[np.uint64],
    ) -> dict[str, TaskRows]:
        """Rows by task, as its metrics see them.

        Args:
            batch: Raw examples.
            scores: Scores of each model by output, (B,); a model need not have every task.
            hashes: Hashes of the rows, (B,).

        Raises:
            DataError: If a label or weight is not what the task allows.
        """
        columns = self._labels(sparse_columns(batch, self._read))
        columns = {name: tensor.numpy().astype(np.float64) for name, tensor in columns.items()}
        units, keyed = hashes, None
        if self._group_key is not None:
            texts, index = _distinct_texts(batch[self._group_key])
            keys = tf.strings.to_hash_bucket_fast(texts, 2**62).numpy().astype(np.uint64)[index]
            keyed = np.asarray(batch[self._group_key].is_valid())
            units = np.where(keyed, keys, hashes)
        result = {}
        for task in self._tasks:
            label = task.label.in_own_unit(columns[task.label_key], np)
            of_task = [score[task.name] for score in scores if task.name in score]
            rows = result[task.name] = TaskRows(
                kind=task.kind,
                predictions=np.array(of_task, np.float64).reshape(-1, len(label)),
                labels=label,
                weights=columns[task.weight_key],
                rows=hashes,
                units=units,
                has_key=self._group_key is not None,
                keyed=keyed,
            )
            try:
                rows.check()
            except ValueError as error:
                raise DataError(
                    f"test split, label column '{task.label.column}' of task '{task.name}': "
                    f"{error}; mend those rows of the log"
                ) from error
        return result


class ServedModel:
    """A SavedModel as a function of raw examples.

    Raises:
        ValueError: If it has no signature that takes columns.
    """

    def __init__(self, folder: str):
        # A signature alone does not keep the model's variables alive.
        self._model = tf.saved_model.load(folder)
        if RAW_FEATURES not in self._model.signatures:
            raise ValueError(f"it has no signature `{RAW_FEATURES}`")
        self._raw_features = self._model.signatures[RAW_FEATURES]
        self.outputs = tuple(self._raw_features.structured_outputs)
        info = ModelInfo.find(folder)
        self._columns = info.columns if info else ()

    def score(self, batch: pa.RecordBatch) -> Scores:
        """Scores by output, (B,) each."""
        specs = self._raw_features.structured_input_signature[1]
        stored = set(batch.schema.names)
        names = {}
        for column in self._columns:
            own = stored_for_served(column.name, column.kind)
            names[column.input] = own if own in stored else column.name
        return _call(self._raw_features, dense_columns(batch, specs, names))

    def score_examples(self, batch: pa.RecordBatch) -> Scores:
        """Scores by output, (B,) each, of the rows as tf.Examples."""
        signature = self._model.signatures[SERVING_DEFAULT]
        (name,) = signature.structured_input_signature[1]
        return _call(signature, {name: tf_examples(batch)})


def _call(
    signature: tf.types.experimental.ConcreteFunction, inputs: Mapping[str, tf.Tensor]
) -> Scores:
    return {name: output.numpy().reshape(-1) for name, output in signature(**inputs).items()}


def _no_baseline(folder: str, error: Exception) -> UserError:
    cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return UserError(
        f"{folder}: the baseline cannot score the test split: {cause}; go back to a version that "
        "can with `taskroute rollback`, or delete LATEST_BLESSED.json to start without one"
    )


def _no_values(num_rows: tf.Tensor, dtype: tf.DType) -> tf.SparseTensor:
    return tf.SparseTensor(
        tf.zeros([0, 2], tf.int64), tf.zeros([0], dtype), tf.stack([num_rows, 0])
    )


def _distinct_texts(lists: pa.Array) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int32]]:
    """Distinct values of a column with at most one value a row, "" where it has none, as texts.

    Returns:
        (U,) bytes, and the index (B,) of each row's.
    """
    values = pc.list_element(lists, 0)
    if not pa.types.is_binary(values.type):
        encoded = values.dictionary_encode()
        numbers = encoded.dictionary.to_numpy(zero_copy_only=False)
        texts = pa.array(tf.strings.as_string(numbers, shortest=True).numpy(), pa.binary())
        values = texts.take(encoded.indices)
    encoded = values.fill_null(b"").dictionary_encode()
    return encoded.dictionary.to_numpy(zero_copy_only=False), encoded.indices.to_numpy()


def _new_or_known(
    lists: pa.Array, vocabulary: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int32]]:
    """Kinds of terms, "" for none, and the index (B,) of each row's."""
    texts, index = _distinct_texts(lists)
    known = is_known(hash_texts(pa.array(texts, pa.binary())), vocabulary)
    kind_of_text = np.where(known, 2, np.where(texts == b"", 0, 1)).astype(np.int32)
    return np.array([b"", NEW.encode(), KNOWN.encode()], object), kind_of_text[index]


def _cut(
    column: str,
    texts: npt.NDArray[np.object_],
    index: npt.NDArray[np.int32],
    rows: Mapping[str, TaskRows],
) -> Iterator[tuple[SliceKey, TaskRows]]:
    """Rows by task and value of a column: `index` (B,) is the place of each row's in `texts`."""
    values = [text.decode("utf-8", "replace") for text in texts]
    order = np.argsort(index, kind="stable")
    ends = np.cumsum(np.bincount(index, minlength=len(values)))
    for task, scored in rows.items():
        for place, (value, end) in enumerate(zip(values, ends.tolist(), strict=True)):
            start = int(ends[place - 1]) if place else 0
            if start == end:
                continue
            # A copy: a view would keep the whole batch for the few rows of a rare value.
            yield (task, column, value), scored[order[start:end]]
