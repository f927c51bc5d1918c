"""Features: how one column of the log becomes an input of the model."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt, ValidationInfo, field_validator, model_validator

from taskroute.schemas.base import Column, Config, Name, is_name
from taskroute.schemas.input_names import safe_name

# text: at most one string. texts: a list of strings. number: at most one float.
ColumnKind = Literal["text", "texts", "number"]

# So many that two terms hardly ever collide, and few enough that each is exact in float64, the only
# number of some JSON clients.
_IDS_OF_A_TABLE = 2**52


class Vocabulary(Config):
    """Ids for the terms that the train split holds; every other term falls into an OOV bucket."""

    min_count: PositiveInt = Field(1, description="Least count of a term in the vocabulary.")
    max_size: PositiveInt | None = Field(None, description="Number of most frequent terms to keep.")
    oov_buckets: PositiveInt = Field(
        1, description="Number of ids that all other terms share, by hash."
    )


# Limits that features had in version 0.1.0, and the signals of `monitoring` that watch the same.
MOVED_LIMITS = {"max_skew": "split_shift", "max_drift": "drift"}


class _Feature(Config):
    """Fields of every feature."""

    column_kind: ClassVar[ColumnKind]

    name: Name = Field(
        description="Name of the model's input, unique among the features; the column's by "
        "default, where that can be a name."
    )
    column: Column = Field(
        default_factory=lambda fields: fields.get("name", ""),
        description="Column of the log; the feature's name by default. `user.id` may also be the "
        "field `id` of objects in the column `user`.",
    )
    required: bool = Field(
        False,
        description="Whether every file must have the column, and some row a value of it. Else it "
        "is missing in the files that lack it, counted and told.",
    )

    @model_validator(mode="before")
    @classmethod
    def _without_moved_limits(cls, fields: Any) -> Any:
        """Reads features as models and runs of version 0.1.0 hold them; `load_config` refuses."""
        if not isinstance(fields, dict):
            return fields
        return {name: value for name, value in fields.items() if name not in MOVED_LIMITS}

    @model_validator(mode="before")
    @classmethod
    def _has_a_name(cls, fields: Any) -> Any:
        """Takes the name from the column where it can be one, else proposes one."""
        if not isinstance(fields, dict):
            return fields
        name, column = fields.get("name"), fields.get("column")
        if "name" not in fields and isinstance(column, str):
            if is_name(column):
                return {**fields, "name": column}
            raise ValueError(
                f"give `name`: the column '{column}' is no name itself; "
                f"'{safe_name(column)}' would do"
            )
        if column is None and isinstance(name, str) and not is_name(name):
            raise ValueError(
                f"'{name}' is no name of a feature; if it is a column, write "
                f"`name: {safe_name(name)}` and `column: {name}`"
            )
        return fields


class IdFeature(_Feature):
    """A feature whose terms have ids, and each id a row of an embedding table.

    Ids and rows are its own, or those of the feature that it shares: then one vocabulary holds the
    terms of both. With a `table` it has no rows of its own but some of that table's for each term,
    by hash: a vocabulary then only says which terms are distinguished.
    """

    shares: Name | None = Field(None, description="Feature whose ids and embeddings this one uses.")
    vocabulary: Vocabulary | None = Field(
        None, description="Ids from a list of terms: no collisions; new terms are OOV."
    )
    hash_buckets: PositiveInt | None = Field(
        None, description="Number of ids by hash: no vocabulary, the same ids in every retraining."
    )
    table: Name | None = Field(
        None, description="Table, one of `tables`, whose rows the terms share, by hash."
    )
    embedding_dim: PositiveInt | None = Field(
        default_factory=lambda fields: None if fields.get("shares") or fields.get("table") else 16,
        description="Width of an embedding, 16 by default; given by `shares` or `table` if set.",
    )

    @field_validator("embedding_dim")
    @classmethod
    def _width_is_given_once(cls, embedding_dim: int | None, info: ValidationInfo) -> int | None:
        shares, table = info.data.get("shares"), info.data.get("table")
        if shares is not None and embedding_dim is not None:
            raise ValueError(f"is that of '{shares}', which this feature shares; leave it out")
        if table is not None and embedding_dim is not None:
            raise ValueError(f"is that of the table '{table}'; leave it out")
        if shares is None and table is None and embedding_dim is None:
            raise ValueError("must be a whole number greater than 0")
        return embedding_dim

    @model_validator(mode="after")
    def _has_one_way_to_ids(self) -> "IdFeature":
        ways = (self.shares, self.vocabulary or self.table, self.hash_buckets)
        if sum(way is not None for way in ways) != 1:
            raise ValueError(
                "give either `vocabulary` or `hash_buckets` or `table` or `shares`; only "
                "`vocabulary` and `table` go together"
            )
        return self

    @property
    def num_hashed_ids(self) -> int | None:
        """Number of ids by hash, beside the missing value's; None where ids are lines of a
        vocabulary, or another feature's.
        """
        return self.hash_buckets if self.table is None else _IDS_OF_A_TABLE


class CategoricalFeature(IdFeature):
    """One term a row; text and whole numbers alike are read as text."""

    column_kind: ClassVar[ColumnKind] = "text"

    kind: Literal["categorical"]


class ListFeature(IdFeature):
    """Any number of terms a row, whose embeddings are pooled to one."""

    column_kind: ClassVar[ColumnKind] = "texts"

    separator: str = Field(
        "|",
        min_length=1,
        description="Separator of the terms, where the column is text and no list.",
    )


class MultivalentFeature(ListFeature):
    """Terms whose order says nothing, such as an item's genres."""

    kind: Literal["multivalent"]
    pooling: Literal["mean", "sum"] = Field(
        "mean", description="Pooling of the terms' embeddings into one."
    )


class SequenceFeature(ListFeature):
    """Terms from the oldest to the newest, such as the items that a user watched before.

    The newest, the last `max_length` of a row, are kept. `attention` weighs them by how alike they
    are to the row's term of the categorical feature that this one shares, or, where there is none,
    to a learned query.
    """

    kind: Literal["sequence"]
    max_length: PositiveInt = Field(50, description="Number of last terms of a row to keep.")
    pooling: Literal["mean", "sum", "attention"] = Field(
        "mean", description="Pooling of the terms' embeddings into one."
    )


class DenseFeature(_Feature):
    """A number, given to the model beside a flag that says whether it was missing.

    `zscore`: (x - mean) / standard deviation. `log1p`: sign(x) log(1 + |x|), then zscore. Both
    squash outliers first. `quantile`: the share of train rows below x. `none`: x as it is.
    """

    column_kind: ClassVar[ColumnKind] = "number"

    kind: Literal["dense"]
    transform: Literal["zscore", "log1p", "quantile", "none"] = Field(
        "zscore",
        description="Transform of the number, as above, with constants of the train split.",
    )
    outliers: Literal["squash", "keep"] = Field(
        "squash",
        description="Values further than 5 interquartile ranges from the quartiles, before zscore "
        "and log1p scale: moved to within 7, in their order, or kept.",
    )


class BucketFeature(_Feature):
    """A number whose bucket has an embedding; `num_quantiles` takes the boundaries from train."""

    column_kind: ClassVar[ColumnKind] = "number"

    kind: Literal["bucket"]
    boundaries: tuple[float, ...] | None = Field(
        None, description="Boundaries of the buckets, rising."
    )
    num_quantiles: int | None = Field(
        None,
        ge=2,
        description="Number of buckets of equal size on train, in place of `boundaries`; a value "
        "that fills several, such as 0, has one of its own.",
    )
    embedding_dim: PositiveInt = Field(4, description="Width of a row of the table.")

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
    CategoricalFeature | MultivalentFeature | SequenceFeature | DenseFeature | BucketFeature,
    Field(discriminator="kind"),
]


def ids_owner(feature: IdFeature, features: Iterable[Feature]) -> IdFeature:
    """Feature whose ids and embeddings `feature` uses: the one that it shares, or itself.

    Raises:
        ValueError: If the one that it shares is not among `features`.
    """
    if feature.shares is None:
        return feature
    for other in features:
        if other.name == feature.shares and isinstance(other, IdFeature):
            return other
    raise ValueError(
        f"`features` must hold '{feature.shares}', which '{feature.name}' shares. Received: "
        f"features={[other.name for other in features]}"
    )


def missing_key(feature: DenseFeature) -> str:
    """Name of the transformed feature that is 1 where `feature` was missing, else 0."""
    return f"{feature.name}_missing"
