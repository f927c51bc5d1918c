"""Goes on from a trained model: its weights by name, its embeddings by vocabulary term.

Ids of terms change with every vocabulary. A row of a table therefore follows its term: a term that
is new starts afresh, one that is gone is left behind. Ids by hash mean the same for ever. A bucket
keeps its row where both its ends are what they were. Missing values keep theirs, and so do OOV
buckets where there are as many as before. A table that features have in common goes on as a whole
where it has the form it had: which rows a term has follows from the term.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
import tensorflow_transform as tft
from pydantic import ValidationError

from taskroute.models.layers.embedding import TableRows, table_rows
from taskroute.models.private_apis import optimizer_parts
from taskroute.models.ranker import MultiTaskRanker
from taskroute.schemas.analysis import (
    ANALYSIS_FILE,
    Analysis,
    num_quantiles,
    vocabulary_name,
    vocabulary_of,
)
from taskroute.schemas.embedding_tables import EmbeddingTable
from taskroute.schemas.features import BucketFeature, Feature, IdFeature
from taskroute.schemas.recommender import DataConfig, ModelConfig
from taskroute.schemas.warm_start import VARIABLES_FILE, WarmStartRecord

_LOG = logging.getLogger(__name__)

# In place of an old id: there is none.
FRESH = -1


@dataclass(frozen=True)
class Ids:
    """What the ids of the features mean.

    Attributes:
        number: Of ids, by feature that has any.
        vocabularies: File of terms in the order of their ids, by feature that has one of its own.
        boundaries: By bucket feature.
    """

    number: Mapping[str, int]
    vocabularies: Mapping[str, str]
    boundaries: Mapping[str, tuple[float, ...]]


@dataclass
class WarmStarted:
    """How much a warm start took over; the rest is fresh.

    Attributes:
        rows: Rows of embedding tables.
        rows_taken: How many of them have the values they had.
        weights: Weights other than tables.
        weights_taken: How many of them.
        reasons: Why not all, by what it is about.
    """

    rows: int = 0
    rows_taken: int = 0
    weights: int = 0
    weights_taken: int = 0
    reasons: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        taken = (
            f"{self.rows_taken:,} of {self.rows:,} embedding rows and {self.weights_taken} of "
            f"{self.weights} other weights go on"
        )
        return "; ".join([taken, *self.reasons])


def transform_ids(
    data: DataConfig, number: Mapping[str, int], transform: tft.TFTransformOutput
) -> Ids:
    """What the ids mean that a transform graph gives."""
    found = Analysis()
    if any(num_quantiles(feature) for feature in data.features):
        folder = transform.transform_savedmodel_dir.rpartition("/")[0]
        with tf.io.gfile.GFile(f"{folder}/analysis/{ANALYSIS_FILE}") as file:
            found = Analysis.model_validate_json(file.read())
    vocabularies = {
        feature.name: str(transform.vocabulary_file_by_name(vocabulary_name(feature.name)))
        for feature in data.features
        if vocabulary_of(feature) is not None
    }
    boundaries = {
        feature.name: feature.boundaries or found.boundaries[feature.name]
        for feature in data.features
        if isinstance(feature, BucketFeature)
    }
    return Ids(number, vocabularies, boundaries)


def write_warm_start(
    folder: str, ranker: MultiTaskRanker, ids: Ids, record: WarmStartRecord
) -> None:
    """Writes all that a later training needs to go on from this one.

    Args:
        folder: Made where it lacks.
        ranker: Trained and not compacted.
        ids: What its ids mean.
        record: Written last: a folder without it holds nothing.
    """
    tf.io.gfile.makedirs(folder)
    for name, file in ids.vocabularies.items():
        tf.io.gfile.copy(file, f"{folder}/{vocabulary_name(name)}", overwrite=True)
    variables = {**weights_by_name(ranker), **slots_by_name(ranker)}
    tf.raw_ops.SaveV2(
        prefix=f"{folder}/{VARIABLES_FILE}",
        tensor_names=list(variables),
        shape_and_slices=[""] * len(variables),
        tensors=[variable.read_value() for variable in variables.values()],
    )
    record.write(folder)


def warm_start(
    ranker: MultiTaskRanker, config: ModelConfig, ids: Ids, folder: str | None
) -> WarmStarted | None:
    """Gives a new ranker what `write_warm_start` left in a folder.

    Args:
        ranker: Built and compiled.
        config: That of the ranker; `training.warm_start` decides about the optimizers.
        ids: What its ids mean.
        folder: Where the old model's are, if there is one.

    Returns:
        What was taken over; None if there is nothing, or nothing that can be understood.
    """
    if folder is None:
        return None
    record = WarmStartRecord.find(folder)
    old = None if record is None else _read_config(record.trained)
    if record is None or old is None:
        _LOG.warning("%s: holds no warm start that can be understood; starting afresh", folder)
        return None
    vocabularies = {
        feature.name: f"{folder}/{vocabulary_name(feature.name)}"
        for feature in old.features
        if vocabulary_of(feature) is not None
    }
    old_ids = Ids(record.num_ids, vocabularies, record.boundaries)
    reader = tf.train.load_checkpoint(f"{folder}/{VARIABLES_FILE}")
    shapes = reader.get_variable_to_shape_map()
    weights = weights_by_name(ranker)
    slots = slots_by_name(ranker) if config.training.warm_start.optimizer == "keep" else {}
    started = WarmStarted()
    moves = _row_moves(config, ids, old, old_ids, started)
    for table, (rows, old_rows) in moves.items():
        weight = weights[table]
        for name, variable in {table: weight, **_slots_of(table, slots)}.items():
            values = variable.numpy()
            values[rows] = reader.get_tensor(name)[old_rows]
            variable.assign(values)
    fresh_parts = _parts_to_leave(config, ids, old, old_ids, started)
    different: list[str] = []
    for name, weight in weights.items():
        if name.startswith("embedding/table_"):
            continue
        started.weights += 1
        part = name.partition("/")[0]
        if part in fresh_parts:
            continue
        if shapes.get(name) != weight.shape.as_list():
            different.append(part)
            continue
        started.weights_taken += 1
        weight.assign(reader.get_tensor(name))
        for slot, state in _slots_of(name, slots).items():
            if shapes.get(slot) == state.shape.as_list():
                state.assign(reader.get_tensor(slot))
    if different:
        parts = ", ".join(dict.fromkeys(different))
        started.reasons.append(f"{parts}: other shapes than before")
    for name, counter in slots.items():
        if "|" not in name and name in shapes:
            counter.assign(reader.get_tensor(name))
    _LOG.info("warm start from %s: %s", folder, started.sentence)
    return started


def weights_by_name(ranker: MultiTaskRanker) -> dict[str, tf.Variable]:
    """The weights by names that are the same in every process, such as `trunk/kernel.2`."""
    parts: dict[str, Any] = {
        "embedding": ranker.embedding,
        "interaction": ranker.interaction,
        "trunk": ranker.trunk,
        **{f"tower_{name}": tower for name, tower in ranker.towers.items()},
        **{f"head_{name}": head for name, head in ranker.heads.items()},
    }
    named = {}
    for part, layer in parts.items():
        for index, weight in enumerate(layer.weights):
            # Keras numbers its layers by how many the process has made: only the last name counts.
            last = weight.name.rpartition("/")[2].removesuffix(":0")
            named[f"{part}/{last}" if layer is ranker.embedding else f"{part}/{last}.{index}"] = (
                weight
            )
    return named


def slots_by_name(ranker: MultiTaskRanker) -> dict[str, tf.Variable]:
    """The optimizers' state: `trunk/kernel.2|Adam.0` of a weight, and a counter of each."""
    names = {weight.ref(): name for name, weight in weights_by_name(ranker).items()}
    slots = {}
    for index, (optimizer, weights) in enumerate(optimizer_parts(ranker.optimizer)):
        # A counter, then as many for each weight, weight by weight.
        slots[f"iteration.{index}"], *states = optimizer.variables
        per_weight = len(states) // len(weights)
        for place, state in enumerate(states):
            weight, number = divmod(place, per_weight)
            name = names.get(weights[weight].ref())
            # A balancer's weights begin afresh, and their state with them.
            if name is not None:
                slots[f"{name}|{type(optimizer).__name__}.{number}"] = state
    return slots


def map_ids(feature: Feature, ids: Ids, old_feature: Feature | None, old_ids: Ids) -> np.ndarray:
    """The old id of each id of a feature that has rows of its own.

    Args:
        feature: As it is now.
        ids: What its ids mean now.
        old_feature: The feature of that name as it was, if there was any.
        old_ids: What its ids meant.

    Returns:
        int64 (ids,), `FRESH` where there is none.
    """
    number = ids.number[feature.name]
    mapped = np.full(number, FRESH, np.int64)
    match feature, old_feature:
        case IdFeature(), IdFeature() if feature.vocabulary and old_feature.vocabulary:
            terms = read_terms(ids.vocabularies[feature.name])
            old_terms = read_terms(old_ids.vocabularies[feature.name])
            found = pc.index_in(terms, value_set=old_terms).fill_null(FRESH - 1)
            mapped[1 : 1 + len(terms)] = found.to_numpy(zero_copy_only=False) + 1
            num_oov = feature.vocabulary.oov_buckets
            if num_oov == old_feature.vocabulary.oov_buckets:
                mapped[1 + len(terms) :] = 1 + len(old_terms) + np.arange(num_oov)
        case IdFeature(), IdFeature() if feature.hash_buckets and (
            feature.hash_buckets == old_feature.hash_buckets
        ):
            mapped[:] = np.arange(number)
        case BucketFeature(), BucketFeature():
            ends = _bucket_ends(ids.boundaries[feature.name])
            old_ends = _bucket_ends(old_ids.boundaries[feature.name])
            is_same = (ends[:, np.newaxis] == old_ends).all(axis=2)
            mapped[1:] = np.where(is_same.any(axis=1), is_same.argmax(axis=1) + 1, FRESH)
        case _:
            return mapped
    mapped[0] = 0
    return mapped


def read_terms(path: str) -> pa.Array:
    """The lines of a file, large_binary."""
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    raw = np.frombuffer(content, np.uint8)
    newlines = np.flatnonzero(raw == ord("\n"))
    if len(raw) and raw[-1] != ord("\n"):
        newlines = np.append(newlines, len(raw))
    # Every term with the newline that ends it, since slices of one buffer must touch.
    ends = np.minimum(newlines + 1, len(raw))
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(content)]
    lines = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(ends), buffers)
    return pc.replace_substring(lines, b"\n", b"")


def _read_config(text: str) -> ModelConfig | None:
    try:
        return ModelConfig.model_validate_json(text)
    except ValidationError:
        return None


def _row_moves(
    config: ModelConfig, ids: Ids, old: ModelConfig, old_ids: Ids, started: WarmStarted
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By table: rows that go on, and the old table's rows that they go on from."""
    rows = table_rows(config.features, ids.number, config.tables)
    old_rows = table_rows(old.features, old_ids.number, old.tables)
    old_features = {feature.name: feature for feature in old.features}
    moves: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for feature in config.features:
        if not _has_rows(feature):
            continue
        place, was = rows[feature.name], old_rows.get(feature.name)
        started.rows += place.number
        old_feature = old_features.get(feature.name)
        mapped = np.empty(0, np.int64)
        if was is not None and was.width == place.width and _has_rows(old_feature):
            mapped = map_ids(feature, ids, old_feature, old_ids)
        (known,) = np.nonzero(mapped != FRESH)
        if was is None or not len(known):
            started.reasons.append(f"{feature.name}: no ids as before")
            continue
        started.rows_taken += len(known)
        pair = (place.first + known, was.first + mapped[known])
        moves.setdefault(f"embedding/table_{place.width}", []).append(pair)
    for table in config.tables:
        started.rows += table.rows
        if table not in old.tables:
            started.reasons.append(f"table {table.name}: no such table before")
            continue
        started.rows_taken += table.rows
        place, was = _rows_in(table, config, rows), _rows_in(table, old, old_rows)
        every = np.arange(table.rows)
        pair = (place.first + every, was.first + every)
        moves.setdefault(f"embedding/table_{place.width}", []).append(pair)
    return {
        table: (np.concatenate([to for to, _ in pairs]), np.concatenate([at for _, at in pairs]))
        for table, pairs in moves.items()
    }


def _rows_in(
    table: EmbeddingTable, config: ModelConfig, rows: Mapping[str, TableRows]
) -> TableRows:
    """Where a table that features have in common is."""
    return next(
        rows[feature.name]
        for feature in config.features
        if isinstance(feature, IdFeature) and feature.table == table.name
    )


def _has_rows(feature: Feature | None) -> bool:
    """Whether it has rows of its own in a table."""
    if isinstance(feature, IdFeature):
        return feature.shares is None and feature.table is None
    return isinstance(feature, BucketFeature)


def _parts_to_leave(
    config: ModelConfig, ids: Ids, old: ModelConfig, old_ids: Ids, started: WarmStarted
) -> set[str]:
    """Parts whose weights would mean something else, even where their shapes agree."""
    if _inputs(config, ids) != _inputs(old, old_ids):
        started.reasons.append("trunk: its inputs are other features, or in another order")
        return {"interaction", "trunk"}
    if config.interaction != old.interaction:
        started.reasons.append("trunk: its inputs are other products of features")
        return {"interaction", "trunk"}
    if config.trunk.kind != old.trunk.kind:
        started.reasons.append(f"trunk: was {old.trunk.kind}, is {config.trunk.kind}")
        return {"trunk"}
    if getattr(config.trunk, "route", None) != getattr(old.trunk, "route", None):
        started.reasons.append("trunk: another route was found")
        return {"trunk"}
    if [task.name for task in config.tasks] != [task.name for task in old.tasks]:
        started.reasons.append("trunk: its tasks are others, or in another order")
        return {"trunk"}
    return set()


def _inputs(config: ModelConfig, ids: Ids) -> list[tuple[Any, ...]]:
    """What decides which unit of the embedding's output means what."""
    rows = table_rows(config.features, ids.number, config.tables)
    widths = {name: (place.width, place.per_id) for name, place in rows.items()}
    return [(feature.name, feature.kind, widths.get(feature.name)) for feature in config.features]


def _slots_of(weight: str, slots: Mapping[str, tf.Variable]) -> dict[str, tf.Variable]:
    return {name: state for name, state in slots.items() if name.startswith(f"{weight}|")}


def _bucket_ends(boundaries: Sequence[float]) -> np.ndarray:
    """(buckets, 2): where each begins and ends."""
    edges = np.concatenate([[-np.inf], np.asarray(boundaries, np.float32), [np.inf]])
    return np.stack([edges[:-1], edges[1:]], axis=1)
