"""Columns of numbers that a model will not see as they were meant.

A default value far from all others stands for "not known" more often than for a measurement; and
float32, in which numbers are read, rounds differences away that are small against the values.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from taskroute.components.measures.robust_limits import limits_of
from taskroute.schemas.features import DenseFeature
from taskroute.schemas.findings import Finding, shorten
from taskroute.schemas.recommender import DataConfig

# Share of the rows that makes a value far from all others a default.
_LEAST_SHARE = 0.01

# Interquartile ranges in steps of float32, below which rounding is told.
_LEAST_STEPS = 64

Floats = npt.NDArray[np.float32]


def find_odd_numbers(config: DataConfig, examples: pa.Table) -> list[Finding]:
    """Finds default values far from all others, and columns that float32 cannot hold.

    Args:
        config: The features; of numbers, `dense` and `bucket` are asked.
        examples: Raw examples; a column that they lack is passed over.
    """
    found: dict[str, Finding] = {}
    for feature in config.features:
        if feature.column_kind != "number" or feature.column not in examples.column_names:
            continue
        values = np.asarray(examples[feature.column].combine_chunks().flatten())
        if not len(values):
            continue
        sentences = [_rounded(values)]
        if isinstance(feature, DenseFeature) and feature.transform != "quantile":
            sentences.append(_default(values, feature))
        for sentence in sentences:
            if sentence is not None and feature.column not in found:
                text = f"feature '{feature.name}': column '{feature.column}' {sentence}"
                found[feature.column] = Finding(
                    kind="dead_feature", subject=feature.name, sentence=text
                )
    return shorten(list(found.values()))


def _default(values: Floats, feature: DenseFeature) -> str | None:
    """Description of a value that stands for "not known"; None if no value looks like that."""
    is_log = feature.transform == "log1p"
    scaled: Floats = np.sign(values) * np.log1p(np.abs(values)) if is_log else values
    limits = limits_of(scaled)
    for end, is_beyond in (
        (values.max(), scaled.max() > limits.high),
        (values.min(), scaled.min() < limits.low),
    ):
        share = np.mean(values == end)
        if is_beyond and end != 0 and limits.room and share >= _LEAST_SHARE:
            return (
                f"is {end:g} in {share:.1%} of the rows, far from its other values; if that stands "
                "for 'not known', write it as missing"
            )
    return None


def _rounded(values: Floats) -> str | None:
    """Description of differences that are lost; None where none are."""
    limits = limits_of(values)
    usual = values[(values >= limits.low) & (values <= limits.high)]
    distinct = np.unique(usual)
    size = np.abs(distinct).max()
    step = float(np.spacing(size))
    if len(distinct) == 1:
        is_lost, within = step >= 1, "are one number"
    else:
        first, third = np.quantile(usual, [0.25, 0.75])
        is_near = third - first < _LEAST_STEPS * step < size
        is_lost, within = is_near and np.diff(distinct).min() <= 2 * step, "are few numbers"
    if not is_lost:
        return None
    return (
        f"holds numbers near {size:.3g} that differ by little, and {within} in float32, which has "
        f"steps of {step:g} there; write the difference from a fixed value"
    )
