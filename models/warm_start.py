"""Warm start from a trained model: restores weights by name, embeddings by vocabulary term.

Ids of terms change with every vocabulary, so a row of a table follows its term: a new term starts
afresh, a removed one is dropped. Hashed ids never change. A bucket keeps its row if both its ends
are unchanged. Missing values keep their row, and so do OOV buckets if their number is unchanged. A
table that features share is restored as a whole if its config is unchanged: the rows of a term
depend only on the term.
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

# Old id of an id that had none.
FRESH = -1


@dataclass(frozen=True)
class Ids:
    """Meaning of the features' ids.

    Attributes:
        number: Number of ids, by feature.
        vocabularies: Files of terms in the order of their ids, by feature with a vocabulary.
        boundaries: Boundaries, by bucket feature.
    """

    number: Mapping[str, int]
    vocabularies: Mapping[str, str]
    boundaries: Mapping[str, tuple[float, ...]]


@dataclass
class WarmStarted:
    """Counts of restored rows and weights; all others are fresh.

    Attributes:
        rows: Rows of embedding tables.
        rows_taken: Rows restored from the old model.
        weights: Weights other than tables.
        weights_taken: Weights restored from the old model.
        reasons: Reasons why some were not, each with its part.
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
    """Meaning of the ids of a transform graph."""
    analysis = Analysis()
    if any(num_quantiles(feature) for feature in data.features):
        folder = transform.transform_savedmodel_dir.rpartition("/")[0]
        with tf.io.gfile.GFile(f"{folder}/analysis/{ANALYSIS_FILE}") as file:
            analysis = Analysis.model_validate_json(file.read())
    vocabularies = {
        feature.name: str(transform.vocabulary_file_by_name(vocabulary_name(feature.name)))
        for feature in data.features
        if vocabulary_of(feature) is not None
    }
    boundaries = {
        feature.name: feature.boundaries or analysis.boundaries[feature.name]
        for feature in data.features
        if isinstance(feature, BucketFeature)
    }
    return Ids(number, vocabularies, boundaries)


def write_warm_start(
    folder: str, ranker: MultiTaskRanker, ids: Ids, record: WarmStartRecord
) -> None:
    """Writes the files from which a later training can start warm.

    Args:
        folder: Folder to write, made where it is missing.
        ranker: Trained ranker, not compacted.
        ids: Meaning of its ids.
        record: Record, written last: a folder without it counts as empty.
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
    """Restores weights and optimizer state that `write_warm_start` wrote.

    Args:
        ranker: New ranker, built and compiled.
        config: Config of the ranker; `training.warm_start` decides about the optimizers.
        ids: Meaning of its ids.
        folder: Folder of the old model's files, if there is one.

    Returns:
        Counts of restored weights; None if the folder holds no valid warm start.
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
    fresh_parts = _fresh_parts(config, ids, old, old_ids, started)
    different: dict[str, None] = {}
    others = {name: x for name, x in weights.items() if not name.startswith("embedding/table_")}
    started.weights = len(others)
    for name, weight in others.items():
        part = name.partition("/")[0]
        if part in fresh_parts:
            continue
        if shapes.get(name) != weight.shape.as_list():
            different[part] = None
            continue
        started.weights_taken += 1
        weight.assign(reader.get_tensor(name))
        for slot, state in _slots_of(name, slots).items():
            if shapes.get(slot) == state.shape.as_list():
                state.assign(reader.get_tensor(slot))
    if different:
        started.reasons.append(f"{', '.join(different)}: other shapes than before")
    for name, counter in slots.items():
        if "|" not in name and name in shapes:
            counter.assign(reader.get_tensor(name))
    _LOG.info("warm start from %s: %s", folder, started.sentence)
    return started


def weights_by_name(ranker: MultiTaskRanker) -> dict[str, tf.Variable]:
    """Weights by names that are the same in every process, such as `trunk/kernel.2`."""
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
            # Keras numbers layers by how many the process has made: only the last part is stable.
            last = weight.name.rpartition("/")[2].removesuffix(":0")
            named[f"{part}/{last}" if layer is ranker.embedding else f"{part}/{last}.{index}"] = (
                weight
            )
    return named


def slots_by_name(ranker: MultiTaskRanker) -> dict[str, tf.Variable]:
    """Optimizer state by name: `trunk/kernel.2|Adam.0` of a weight, and a counter of each."""
    names = {weight.ref(): name for name, weight in weights_by_name(ranker).items()}
    slots = {}
    for index, (optimizer, weights) in enumerate(optimizer_parts(ranker.optimizer)):
        # A counter, then as many for each weight, weight by weight.
        slots[f"iteration.{index}"], *states = optimizer.variables
        per_weight = len(states) // len(weights)
        for place, state in enumerate(states):
            weight, number = divmod(place, per_weight)
            name = names.get(weights[weight].ref())
            # A balancer's weights start afresh, and so does their state.
            if name is not None:
                slots[f"{name}|{type(optimizer).__name__}.{number}"] = state
    return slots


def map_ids(feature: Feature, ids: Ids, old_feature: Feature | None, old_ids: Ids) -> np.ndarray:
    """Maps each id of a feature with rows of its own to its old id.

    Args:
        feature: Feature of the new config.
        ids: Meaning of the new ids.
        old_feature: Feature of that name in the old config, if there was one.
        old_ids: Meaning of the old ids.

    Returns:
        int64 (ids,), `FRESH` where there is none.
    """
    number = ids.number[feature.name]
    mapped = np.full(number, FRESH, np.int64)
    match feature, old_feature:
        case IdFeature(), IdFeature() if feature.vocabulary and old_feature.vocabulary:
            terms = read_terms(ids.vocabularies[feature.name])
            old_terms = read_terms(old_ids.vocabularies[feature.name])
            places = pc.index_in(terms, value_set=old_terms).fill_null(FRESH - 1)
            mapped[1 : 1 + len(terms)] = places.to_numpy(zero_copy_only=False) + 1
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
            of_buckets = np.where(is_same.any(axis=1), is_same.argmax(axis=1) + 1, FRESH)
            # Quantiles that are equal leave ids without a bucket.
            mapped[1 : 1 + len(ends)] = of_buckets
        case _:
            return mapped
    mapped[0] = 0
    return mapped


def read_terms(path: str) -> pa.Array:
    """Reads the lines of a file, large_binary."""
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    raw = np.frombuffer(content, np.uint8)
    newlines = np.flatnonzero(raw == ord("\n"))
    if len(raw) and raw[-1] != ord("\n"):
        newlines = np.append(newlines, len(raw))
    # Terms include their newline, since slices of one buffer must be adjacent.
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
    """Rows to restore and their rows in the old table, by table."""
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
        pair = (place.first + np.arange(table.rows), was.first + np.arange(table.rows))
        moves.setdefault(f"embedding/table_{place.width}", []).append(pair)
    return {
        table: (np.concatenate([to for to, _ in pairs]), np.concatenate([at for _, at in pairs]))
        for table, pairs in moves.items()
    }


def _rows_in(
    table: EmbeddingTable, config: ModelConfig, rows: Mapping[str, TableRows]
) -> TableRows:
    """Rows of a table that features share."""
    return next(
        rows[feature.name]
        for feature in config.features
        if isinstance(feature, IdFeature) and feature.table == table.name
    )


def _has_rows(feature: Feature | None) -> bool:
    """Whether a feature has rows of its own in a table."""
    if isinstance(feature, IdFeature):
        return feature.shares is None and feature.table is None
    return isinstance(feature, BucketFeature)


def _fresh_parts(
    config: ModelConfig, ids: Ids, old: ModelConfig, old_ids: Ids, started: WarmStarted
) -> set[str]:
    """Parts whose weights would have another meaning, even with equal shapes."""
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
    """Name, kind and width of each feature, which give the embedding's units their meaning."""
    rows = table_rows(config.features, ids.number, config.tables)
    widths = {name: (place.width, place.per_id) for name, place in rows.items()}
    return [(feature.name, feature.kind, widths.get(feature.name)) for feature in config.features]


def _slots_of(weight: str, slots: Mapping[str, tf.Variable]) -> dict[str, tf.Variable]:
    return {name: state for name, state in slots.items() if name.startswith(f"{weight}|")}


def _bucket_ends(boundaries: Sequence[float]) -> np.ndarray:
    """Ends of each bucket: (buckets, 2)."""
    edges = np.concatenate([[-np.inf], np.asarray(boundaries, np.float32), [np.inf]])
    return np.stack([edges[:-1], edges[1:]], axis=1)
