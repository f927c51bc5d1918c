"""What is kept of the versions that were pushed."""

from pydantic import Field, PositiveInt

from taskroute.schemas.base import Config


class Push(Config):
    """The serving folder: the newest versions stay, so that a rollback has one to go back to."""

    keep_versions: PositiveInt = Field(5, description="How many, with the one that serves.")
