"""Sizes that a config asks for, against the memory of this machine.

Bytes are a lower bound: what the tables, a batch of embeddings and the widest layers take at least.
What is above the memory is refused before hours of a run, not after.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from taskroute.pipeline.inspection.log_sample import LogSample
from taskroute.pipeline.inspection.table_sizes import Rows, table_sizes
from taskroute.schemas.embedding_tables import embedded_width
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.features import DenseFeature, IdFeature, ListFeature, SequenceFeature
from taskroute.schemas.findings import Finding
from taskroute.schemas.recommender import RecommenderConfig

_FLOAT = 4
# A weight, its gradient and two moments of Adam.
_BYTES_PER_DENSE_WEIGHT = 4 * _FLOAT
# An activation and its gradient.
_BYTES_PER_ACTIVATION = 2 * _FLOAT
_WIDE = 4_096  # wider embeddings than any model has
_MUCH = 0.5  # share of the memory that is told

# Limits of a container, by version of cgroups.
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True)
class Need:
    """Bytes that one field of the config asks for.

    Attributes:
        field: Path of the field.
        what: Words for what takes them.
        num_bytes: Number of bytes.
    """

    field: str
    what: str
    num_bytes: int


def memory_bytes() -> int:
    """Memory of this machine, or of this container if that is less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _LIMITS:
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(limits)


def find_sizes(config: RecommenderConfig, sample: LogSample) -> Iterator[Finding]:
    """Tells of sizes that come near what fits, and refuses those above it.

    Raises:
        ConfigError: If tables, a batch and layers need more memory than this machine has.
    """
    memory = memory_bytes()
    needs = [*_tables(config, sample), *_batches(config, sample), *_layers(config)]
    total = sum(need.num_bytes for need in needs)
    if not needs or total <= _MUCH * memory:
        return
    # The first that is too much alone: wide tables make wide batches and layers, too.
    too_much = (need for need in needs if need.num_bytes > memory)
    largest = next(too_much, None) or max(needs, key=lambda need: need.num_bytes)
    share = "" if largest.num_bytes == total else f", and all sizes together {_readable(total)}"
    asked = f"{largest.field}: {largest.what} {_readable(largest.num_bytes)}{share}"
    if total > memory:
        raise ConfigError(
            f"{asked}, but this machine has {_readable(memory)} of memory; give a smaller number"
        )
    yield Finding(
        kind="sizes",
        subject=largest.field,
        sentence=f"{asked}, of the {_readable(memory)} of memory that this machine has: training "
        "may run out of it",
    )


def _tables(config: RecommenderConfig, sample: LogSample) -> Iterator[Need]:
    """Tables with the optimizer's state, of vocabularies with the terms of the sample."""
    places = {feature.name: f"features[{i}]" for i, feature in enumerate(config.features)}
    places |= {f"table {table.name}": f"tables[{i}]" for i, table in enumerate(config.tables)}
    by_name = {feature.name: feature for feature in config.features}
    for size in table_sizes(config, sample.terms):
        if not isinstance(size.rows, Rows):
            continue
        feature = by_name.get(size.name)
        if size.rows.width >= _WIDE:
            field = "embedding_dim"
        elif isinstance(feature, IdFeature):
            field = "vocabulary" if feature.hash_buckets is None else "hash_buckets"
        else:
            field = "rows" if feature is None else "num_quantiles"
        what = (
            f"{size.rows.number:,} rows of width {size.rows.width:,} take, with the optimizer's "
            "state,"
        )
        yield Need(f"{places[size.name]}.{field}", what, size.rows.num_bytes)


def _readable(num_bytes: float) -> str:
    units = ("bytes", "kB", "MB", "GB", "TB", "PB")
    power = 0
    while num_bytes >= 1000 and power < len(units) - 1:
        num_bytes, power = num_bytes / 1000, power + 1
    return f"{num_bytes:,.0f} {units[power]}" if power < 2 else f"{num_bytes:,.1f} {units[power]}"


def _input_width(config: RecommenderConfig) -> int:
    return sum(
        2
        if isinstance(feature, DenseFeature)
        else embedded_width(feature, config.features, config.tables)
        for feature in config.features
    )


def _batches(config: RecommenderConfig, sample: LogSample) -> Iterator[Need]:
    """Embeddings of one batch: of all features, and of the terms of long lists."""
    rows = config.training.batch_size
    num_bytes = rows * _input_width(config) * _BYTES_PER_ACTIVATION
    yield Need("training.batch_size", f"the embeddings of {rows:,} rows take", num_bytes)
    examples = sample.examples
    for index, feature in enumerate(config.features):
        if not isinstance(feature, ListFeature):
            continue
        most = feature.max_length if isinstance(feature, SequenceFeature) else None
        lengths = pc.fill_null(pc.list_value_length(examples[feature.column]), 0)
        kept = pc.min_element_wise(lengths, most) if most is not None else lengths
        mean = pc.mean(kept).as_py() or 0.0
        width = embedded_width(feature, config.features, config.tables)
        field = "training.batch_size" if most is None else f"features[{index}].max_length"
        what = f"lists of {mean:,.0f} terms in {rows:,} rows take"
        yield Need(field, what, int(mean * rows * width * _BYTES_PER_ACTIVATION))


def _layers(config: RecommenderConfig) -> Iterator[Need]:
    """The weights of towers and trunk, as far as single matrices have them."""
    units = config.towers.units
    for index in range(len(units) - 1):
        num_bytes = len(config.tasks) * units[index] * units[index + 1] * _BYTES_PER_DENSE_WEIGHT
        what = f"{units[index]:,} times {units[index + 1]:,} weights a task take"
        yield Need("towers.units", what, num_bytes)
    yield from _trunk_layers(config)


def _trunk_layers(config: RecommenderConfig) -> Iterator[Need]:
    trunk = config.trunk
    if trunk.match_parameters is not None:
        num_bytes = trunk.match_parameters * _BYTES_PER_DENSE_WEIGHT
        yield Need("trunk.match_parameters", f"{trunk.match_parameters:,} weights take", num_bytes)
        return
    below = _input_width(config)
    layers = getattr(trunk, "layers", None) or getattr(trunk, "levels", None) or (trunk,)
    for index, layer in enumerate(layers):
        field = "trunk" if layer is trunk else f"trunk.{_layers_name(trunk)}[{index}]"
        count = _num_parallel(layer)
        widths = (layer.units,) if isinstance(layer.units, int) else layer.units
        for width in widths:
            num_bytes = count * below * width * _BYTES_PER_DENSE_WEIGHT
            what = f"{count:,} times {below:,} x {width:,} weights take"
            yield Need(f"{field}.units", what, num_bytes)
            below = width


def _layers_name(trunk: object) -> str:
    return "layers" if hasattr(trunk, "layers") else "levels"


def _num_parallel(layer: object) -> int:
    names = ("experts", "sub_networks", "shared_experts")
    return next((getattr(layer, name) for name in names if hasattr(layer, name)), 1)
