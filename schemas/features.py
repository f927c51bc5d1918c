"""What a feature is: how one column of the log becomes an input of the model."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from taskroute.schemas.base import Column, Config, Name


class Vocabulary(Config):
    """Ids for the terms that the train split holds; every other term falls into an OOV bucket."""

    min_count: PositiveInt = Field(1, description="Terms seen less often are left out.")
    max_size: PositiveInt | None = Field(None, description="Only the most frequent terms are kept.")
    oov_buckets: PositiveInt = Field(1, description="Ids shared, by hash, by all other terms.")


_Distance = Annotated[float, Field(gt=0, le=1)]


class _Feature(Config):
    """What every feature has.

    Distances are TFDV's, from 0, the same, to 1. Of text: the largest change of a value's share
    among all values. Of numbers: the Jensen-Shannon divergence of their histograms.
    """

    name: Name
    column: Column = Field(
        default_factory=lambda fields: fields.get("name", ""),
        description="Column of the log; the feature's name by default.",
    )
    max_skew: _Distance | None = Field(
        None, description="The run stops where the test rows are further from the train rows."
    )
    max_drift: _Distance | None = Field(
        None, description="The run stops where the newest span is further from the one before."
    )



class _IdFeature(_Feature):
    """A feature whose terms are looked up in an embedding table."""

    vocabulary: Vocabulary | None = None
    hash_buckets: PositiveInt | None = Field(
        None, description="Ids by hash: no vocabulary, the same ids in every retraining."
    )
    embedding_dim: PositiveInt = 16

    @model_validator(mode="after")
    def _has_one_way_to_ids(self) -> "_IdFeature":
        if (self.vocabulary is None) == (self.hash_buckets is None):
            raise ValueError("give either `vocabulary` or `hash_buckets`")
        return self


class CategoricalFeature(_IdFeature):
    """One term a row; text and whole numbers alike are read as text."""

    kind: Literal["categorical"]


class MultivalentFeature(_IdFeature):
    """Any number of terms a row, whose embeddings are pooled."""

    kind: Literal["multivalent"]
    separator: str = Field(
        "|", min_length=1, description="Between the terms, where the column is text and no list."
    )
    pooling: Literal["mean", "sum"] = "mean"


class DenseFeature(_Feature):
    """A number, given to the model beside a flag that says whether it was missing.

    `zscore`: (x - mean) / standard deviation. `log1p`: sign(x) log(1 + |x|), then zscore.
    `quantile`: the share of train rows below x. `none`: x as it is.
    """

    kind: Literal["dense"]
    transform: Literal["zscore", "log1p", "quantile", "none"] = "zscore"


class BucketFeature(_Feature):
    """A number whose bucket has an embedding; `num_quantiles` finds the boundaries on train."""

    kind: Literal["bucket"]
    boundaries: tuple[float, ...] | None = None
    num_quantiles: int | None = Field(None, ge=2)
    embedding_dim: PositiveInt = 4

    @model_validator(mode="after")
    def _has_boundaries(self) -> "BucketFeature":
        if (self.boundaries is None) == (self.num_quantiles is None):
            raise ValueError("give either `boundaries` or `num_quantiles`")
        if self.boundaries is not None:
            if not self.boundaries:
                raise ValueError("`boundaries` must hold at least one number")
            if list(self.boundaries) != sorted(set(self.boundaries)):
                raise ValueError("`boundaries` must rise")
        return self

    @property
    def num_buckets(self) -> int:
        return self.num_quantiles or len(self.boundaries or ()) + 1


Feature = Annotated[
    CategoricalFeature | MultivalentFeature | DenseFeature | BucketFeature,
    Field(discriminator="kind"),
]


def missing_key(feature: DenseFeature) -> str:
    """Name of the transformed feature that is 1 where `feature` was missing, else 0."""
    return f"{feature.name}_missing"
