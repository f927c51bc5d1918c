"""Where a run on this machine keeps the record of its stages and artifacts (ML Metadata)."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, StringConstraints

from taskroute.schemas.base import Config

_Text = Annotated[str, StringConstraints(min_length=1)]


class SqliteMetadata(Config):
    """A file under the pipeline root: one run at a time."""

    kind: Literal["sqlite"] = "sqlite"


class MysqlMetadata(Config):
    """A database of a MySQL or MariaDB server. Each pipeline root needs its own.

    TFX looks for reusable results by the name of the pipeline: those of another root may be gone.
    """

    kind: Literal["mysql"]
    host: _Text = Field(description="Of the server.")
    port: PositiveInt = Field(3306, description="Of the server.")
    database: _Text = Field(description="Made beforehand; tables are made by the first run.")
    user: _Text = Field(description="Who may make tables in it.")
    password_env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="Name of the environment variable that holds the password."
    )


Metadata = Annotated[SqliteMetadata | MysqlMetadata, Field(discriminator="kind")]
