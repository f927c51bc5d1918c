"""Connection to the ML Metadata store of a run."""

import os
from pathlib import Path

from tfx.orchestration import metadata

from taskroute.schemas.errors import ConfigError
from taskroute.schemas.metadata import Metadata, MysqlMetadata


def connection(settings: Metadata, sqlite_file: Path) -> metadata.ConnectionConfigType:
    """Connection settings of the metadata store, for TFX.

    Args:
        settings: Metadata settings, `runtime.metadata` of the config.
        sqlite_file: File of the store, if it is SQLite's; its folder is made.

    Raises:
        ConfigError: If the environment variable with the password is not set.
    """
    if isinstance(settings, MysqlMetadata):
        password = os.environ.get(settings.password_env)
        if password is None:
            raise ConfigError(
                f"runtime.metadata.password_env: the environment variable {settings.password_env} "
                f"is not set; set it to the password of {settings.user}"
            )
        return metadata.mysql_metadata_connection_config(
            settings.host, settings.port, settings.database, settings.user, password
        )
    sqlite_file.parent.mkdir(parents=True, exist_ok=True)
    return metadata.sqlite_metadata_connection_config(str(sqlite_file))
