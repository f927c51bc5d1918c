"""Counts of the rows that LogExampleGen has left out."""

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from taskroute.schemas.base import Config


class RowsLeftOut(Config):
    """Rows of the log that could not be used: `{}` before the log is read.

    Attributes:
        rows: Number of rows left out.
        reasons: Number of rows by reason.
        folder: Quarantine folder that holds them.
    """

    rows: int = 0
    reasons: dict[str, int] = {}
    folder: str | None = None

    @model_serializer(mode="wrap")
    def _empty_before_reading(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return serialize(self) if self.folder is not None else {}
