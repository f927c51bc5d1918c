"""Guessed role of one column."""

from dataclasses import dataclass
from typing import Any, Literal

from taskroute.pipeline.starter.columns import LogColumn

Role = Literal["time", "task", "feature", "left out"]


@dataclass(frozen=True)
class Guess:
    """Guessed role of a column.

    Attributes:
        column: Name of the column.
        role: Role in the config.
        fields: Fields of the task or the feature in the config.
        why: Reason of the guess, for a person who knows better.
        offered: Fields of a task that the column may be instead; empty for most.
    """

    column: str
    role: Role
    fields: dict[str, Any]
    why: str
    offered: dict[str, Any] | None = None

    @property
    def kind(self) -> str:
        return self.fields.get("kind", "binary") if self.fields else ""


def left_out(column: LogColumn, why: str) -> Guess:
    """Guess that a column has no part in the config, for a reason."""
    return Guess(column.name, "left out", {}, why)
