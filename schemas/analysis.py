"""Analysis of the train split before training: terms, moments and quantiles."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from pydantic import NonNegativeFloat

from taskroute.schemas.base import Config
from taskroute.schemas.features import (
    BucketFeature,
    DenseFeature,
    Feature,
    IdFeature,
    SequenceFeature,
    Vocabulary,
    ids_owner,
)

# File of an `Analysis`, as JSON; the vocabularies lie beside it.
ANALYSIS_FILE = "analysis.json"

# A vocabulary without terms holds this one: a table cannot be empty.
NO_TERM = b"49d0cd50-04bb-48c0-bc6f-5b575dce351a"

# Allowed error of a quantile, as a share of all ranks.
QUANTILE_ERROR = 0.001

_DENSE_QUANTILES = 100

FeatureName: TypeAlias = str
ColumnName: TypeAlias = str


class Moments(Config):
    """Mean and variance (of the population) of a feature's finite values; 0 where there is none."""

    mean: float = 0.0
    variance: NonNegativeFloat = 0.0


class Limits(Config):
    """Range of a feature's usual values; those beyond it are squashed.

    Attributes:
        low: Least usual value.
        high: Greatest usual value.
        room: Distance from `low` and `high` that the farthest outlier comes near to; 0 clips.
    """

    low: float
    high: float
    room: NonNegativeFloat = 0.0

    def squash(self, values: Any, math: Any) -> Any:
        """Moves outliers towards the range, in their order; other values stay as they are.

        Args:
            values: Array or tensor of finite numbers.
            math: Library for that type: numpy, or tf.math.
        """
        inside = math.minimum(math.maximum(values, self.low), self.high)
        if not self.room:
            return inside
        above = 1.0 - self.room / (self.room + math.maximum(values - self.high, 0.0))
        below = 1.0 - self.room / (self.room + math.maximum(self.low - values, 0.0))
        return inside + self.room * (above - below)


class Analysis(Config):
    """Constants that `preprocessing_fn` applies, by feature, beside the vocabularies.

    Moments and limits of a `log1p` feature are those of sign(x) log(1 + |x|). Moments of a feature
    with limits are those of the squashed values. Boundaries are float32 and cut the values into
    `num_quantiles` buckets of equal size; those of a bucket feature are distinct, and fewer where
    one value fills several buckets.
    """

    moments: dict[FeatureName, Moments] = {}
    limits: dict[FeatureName, Limits] = {}
    boundaries: dict[FeatureName, tuple[float, ...]] = {}


def vocabulary_name(feature_name: str) -> str:
    """Name of the file, and of the graph's asset, that holds a feature's terms, one a line.

    A feature that shares another's ids has no file of its own: its terms are in the other's.
    """
    return f"vocabulary_{feature_name}"


def vocabulary_of(feature: Feature) -> Vocabulary | None:
    """Vocabulary to be made for a feature; None where it needs none, or shares another's."""
    return feature.vocabulary if isinstance(feature, IdFeature) else None


def counted_columns(
    features: Sequence[Feature],
) -> dict[FeatureName, dict[ColumnName, int | None]]:
    """Columns whose terms make up a vocabulary, by the feature that has it.

    Returns:
        The feature's own column and those of the features that share it, each once; with the number
        of a row's last terms that count, or None where all do.
    """
    by_feature: dict[FeatureName, dict[ColumnName, int | None]] = {
        feature.name: {} for feature in features if vocabulary_of(feature) is not None
    }
    for feature in features:
        if not isinstance(feature, IdFeature):
            continue
        columns = by_feature.get(ids_owner(feature, features).name)
        if columns is not None:
            last = feature.max_length if isinstance(feature, SequenceFeature) else None
            # One column has one kind of feature: all of them have a length, or none has.
            columns[feature.column] = last and max(last, columns.get(feature.column) or 0)
    return by_feature


def needs_moments(feature: Feature) -> bool:
    """True if the feature is scaled by its mean and variance."""
    return isinstance(feature, DenseFeature) and feature.transform in ("zscore", "log1p")


def num_quantiles(feature: Feature) -> int | None:
    """Number of buckets of equal size that a feature needs; None if it needs none."""
    if isinstance(feature, BucketFeature):
        return feature.num_quantiles
    if isinstance(feature, DenseFeature) and feature.transform == "quantile":
        return _DENSE_QUANTILES
    return None
