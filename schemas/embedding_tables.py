"""Config of a table whose rows many terms share, and widths of embeddings."""

from collections.abc import Iterable
from typing import Self

from pydantic import Field, PositiveInt, model_validator

from taskroute.schemas.base import Config, Name
from taskroute.schemas.features import DenseFeature, Feature, IdFeature, ids_owner


class EmbeddingTable(Config):
    """Table that all terms of the features with this `table` share, by hashes of the terms.

    A term has `num_hashes` rows, each by a hash of its own, salted with the feature's name; side
    by side they are its embedding. A row is part of the embeddings of many terms, but hardly any
    two terms have all their rows in common.
    """

    name: Name = Field(description="Name of the table, which features give as their `table`.")
    rows: int = Field(gt=0, le=2**31, description="Number of rows, however many terms there are.")
    embedding_dim: PositiveInt = Field(
        16, description="Width of a term's embedding: all its rows together."
    )
    num_hashes: PositiveInt = Field(2, description="Number of rows of a term.")

    @model_validator(mode="after")
    def _rows_have_one_width(self) -> Self:
        if self.embedding_dim % self.num_hashes:
            raise ValueError(
                f"`embedding_dim` must be a multiple of `num_hashes`, {self.num_hashes}, which are "
                f"the rows that make it up; {self.embedding_dim} is none"
            )
        return self

    @property
    def row_width(self) -> int:
        return self.embedding_dim // self.num_hashes


def table_named(name: str, tables: Iterable[EmbeddingTable]) -> EmbeddingTable:
    """Finds the table of a name.

    Raises:
        ValueError: If there is none.
    """
    for table in tables:
        if table.name == name:
            return table
    raise ValueError(f"`tables` must hold '{name}'. Received: {[table.name for table in tables]}")


def embedded_width(
    feature: Feature, features: Iterable[Feature], tables: Iterable[EmbeddingTable]
) -> int:
    """Width of the embedding of a feature's terms or buckets; 0 for a number."""
    if isinstance(feature, DenseFeature):
        return 0
    owner = ids_owner(feature, features) if isinstance(feature, IdFeature) else feature
    if isinstance(owner, IdFeature) and owner.table is not None:
        return table_named(owner.table, tables).embedding_dim
    return owner.embedding_dim or 0
