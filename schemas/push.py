"""Retention of pushed versions."""

from pydantic import Field, PositiveInt

from taskroute.schemas.base import Config


class Push(Config):
    """The serving folder: the newest versions stay, so that a rollback has one to go back to."""

    keep_versions: PositiveInt = Field(
        5, description="Number of versions to keep, with the served one."
    )
