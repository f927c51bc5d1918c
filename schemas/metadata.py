"""Store of the record of stages and artifacts (ML Metadata) of a run on this machine."""

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
    host: _Text = Field(description="Host of the server.")
    port: PositiveInt = Field(3306, description="Port of the server.")
    database: _Text = Field(description="Existing database; the first run makes its tables.")
    user: _Text = Field(description="User that may make tables in the database.")
    password_env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="Name of the environment variable that holds the password."
    )


Metadata = Annotated[SqliteMetadata | MysqlMetadata, Field(discriminator="kind")]
