"""What is learned from the train split before any model: terms, moments and quantiles."""

from typing import TypeAlias

from pydantic import NonNegativeFloat

from taskroute.schemas.base import Config
from taskroute.schemas.features import (
    BucketFeature,
    CategoricalFeature,
    DenseFeature,
    Feature,
    MultivalentFeature,
    Vocabulary,
)

# File of an `Analysis`, as JSON; the vocabularies lie beside it.
ANALYSIS_FILE = "analysis.json"

# A vocabulary without terms holds this one: a table cannot be empty.
NO_TERM = b"49d0cd50-04bb-48c0-bc6f-5b575dce351a"

# Of the ranks, for quantiles.
QUANTILE_ERROR = 0.001

_DENSE_QUANTILES = 100

FeatureName: TypeAlias = str


class Moments(Config):
    """Mean and variance (of the population) of a feature's finite values; 0 where there is none."""

    mean: float = 0.0
    variance: NonNegativeFloat = 0.0


class Analysis(Config):
    """What `preprocessing_fn` applies, by feature, beside the vocabularies.

    Moments of a `log1p` feature are those of sign(x) log(1 + |x|). Boundaries are float32 and part
    the values into as many buckets of equal size as `num_quantiles` says.
    """

    moments: dict[FeatureName, Moments] = {}
    boundaries: dict[FeatureName, tuple[float, ...]] = {}


def vocabulary_name(feature_name: str) -> str:
    """Name of the file, and of the graph's asset, that holds a feature's terms, one a line."""
    return f"vocabulary_{feature_name}"


def vocabulary_of(feature: Feature) -> Vocabulary | None:
    """The vocabulary to be found for a feature."""
    if isinstance(feature, CategoricalFeature | MultivalentFeature):
        return feature.vocabulary
    return None


def needs_moments(feature: Feature) -> bool:
    """Whether the feature is scaled by its mean and variance."""
    return isinstance(feature, DenseFeature) and feature.transform in ("zscore", "log1p")


def num_quantiles(feature: Feature) -> int | None:
    """Number of buckets of equal size to be found for a feature."""
    if isinstance(feature, BucketFeature):
        return feature.num_quantiles
    if isinstance(feature, DenseFeature) and feature.transform == "quantile":
        return _DENSE_QUANTILES
    return None
