"""The file of DayMonitor's counts: tables.npz."""

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from taskroute.components.measures.tables import Tables, in_order
from taskroute.schemas.errors import DataError

TABLES_FILE = "tables.npz"


def write_tables(folder: str | Path, tables: Mapping[str, Tables]) -> None:
    """Writes the tables of each span as TABLES_FILE into an existing folder."""
    arrays = {
        "/".join((span, *key)): table
        for span in in_order(tables)
        for key, table in tables[span].items()
    }
    np.savez_compressed(Path(folder, TABLES_FILE), **arrays)  # type: ignore[arg-type]


def read_tables(folder: str | Path) -> dict[str, Tables]:
    """Reads the tables of `write_tables`, by span, oldest first.

    Raises:
        DataError: If the file cannot be read.
    """
    path = Path(folder, TABLES_FILE)
    tables: dict[str, Tables] = {}
    try:
        with np.load(path) as arrays:
            for key, table in arrays.items():
                span, signal, name = key.split("/", 2)  # a column may hold one
                tables.setdefault(span, {})[signal, name] = table
    except (OSError, ValueError, EOFError, BadZipFile):
        raise DataError(f"{path}: cannot be read; run the pipeline again") from None
    return tables
