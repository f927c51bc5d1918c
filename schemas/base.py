"""Base of every config, and the kinds of name that occur in them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints


class Config(BaseModel):
    """Base of every config: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# A name becomes a tensor name, a file name and a column header: letters, digits and underscores.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]

# A column of the log becomes a key of tf.Example and the name of a graph input.
Column = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]*$", max_length=128)]
