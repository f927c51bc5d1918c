"""Files of a sample log: one for the whole log, or one a day."""

import contextlib
import filecmp
import os
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from taskroute.pipeline.sample_log.sample_log import SampleLog
from taskroute.schemas.errors import ConfigError


def write_sample_log(
    log: SampleLog, path: str | Path, format: Literal["parquet", "csv"] = "parquet"
) -> None:
    """Writes the table to a file, whole or not at all; keeps an equal file.

    Raises:
        ConfigError: If the file cannot be written.
    """
    if format not in ("parquet", "csv"):
        raise ValueError(f"`format` must be parquet or csv. Received: format={format}")
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            if format == "parquet":
                pa.parquet.write_table(log.table, file)
            else:
                pa.csv.write_csv(log.table, file)
        if not (path.exists() and filecmp.cmp(beside, path, shallow=False)):
            beside.replace(path)
    except OSError as error:
        raise ConfigError(
            f"{path}: the sample log cannot be written there: {error.strerror or error}; "
            "choose another folder"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def write_sample_days(
    log: SampleLog, folder: str | Path, format: Literal["parquet", "csv"] = "parquet"
) -> tuple[str, ...]:
    """Writes a file a day, `2026-01-05/log.parquet` and so on.

    Returns:
        The days, in order.

    Raises:
        ConfigError: If a file cannot be written.
    """
    day = log.table["event_time"].to_numpy().astype("datetime64[D]")
    days = np.unique(day)
    for name in days:
        rows = np.flatnonzero(day == name)
        part = SampleLog(
            log.table.take(rows),
            {task: values[rows] for task, values in log.true_probabilities.items()},
        )
        write_sample_log(part, Path(folder, str(name), f"log.{format}"), format)
    return tuple(map(str, days))
