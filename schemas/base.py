"""Base of every config, and the kinds of name that occur in them."""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema

from taskroute.schemas.input_names import LONGEST_NAME, safe_name

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LONGEST_COLUMN = 1024
# Line and paragraph separators, controls, halves of surrogate pairs: no table could show them.
_UNREADABLE = ("Cc", "Cs", "Zl", "Zp")


class Config(BaseModel):
    """Base of every config: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def is_name(text: str) -> bool:
    """Whether `text` can be a name."""
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def _check_name(text: str) -> str:
    if not is_name(text):
        raise ValueError(
            f"'{text}' is no name: it has letters from A to Z, digits and underscores, "
            f"{LONGEST_NAME} at most and a letter first, as '{safe_name(text)}' has"
        )
    return text


def _check_column(text: str) -> str:
    if not text:
        raise ValueError("is empty; give the name of a column of the log")
    if len(text) > _LONGEST_COLUMN:
        raise ValueError(
            f"has {len(text):,} characters, and the name of a column {_LONGEST_COLUMN:,} at most; "
            "rename the column in the log"
        )
    if any(unicodedata.category(character) in _UNREADABLE for character in text):
        raise ValueError(
            f"{text!a} holds a line end or another control character; rename the column in the log"
        )
    return text


# A name becomes a tensor name, a file name and a column header: letters, digits and underscores.
Name = Annotated[
    str, AfterValidator(_check_name), WithJsonSchema({"type": "string", "format": "name"})
]

# Name of a column as the log has it; `user.id` may also be the field `id` of objects in `user`.
Column = Annotated[
    str,
    AfterValidator(_check_column),
    WithJsonSchema({"type": "string", "format": "column of the log"}),
]
