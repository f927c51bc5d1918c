"""Writes the examples of a split to shards: Parquet files."""

import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# A shard is read as a whole, a row group is unpacked as a whole.
ROWS_PER_SHARD, BYTES_PER_SHARD = 250_000, 1 << 28
_ROWS_PER_GROUP, _BYTES_PER_GROUP = 65_536, 1 << 25


class ShardWriter:
    """Writes shards under names that no other worker uses, listed in `shards`.

    Args:
        folder: Folder of the shards.
        split: Split of the shards.
    """

    def __init__(self, folder: Path, split: str):
        self.shards: list[dict[str, Any]] = []
        self._folder = folder
        self._split = split
        self._file: pq.ParquetWriter | None = None
        self._group: list[pa.RecordBatch] = []
        self._bytes = 0

    def write(self, examples: pa.RecordBatch) -> None:
        """Appends rows, and begins a new shard where one is full."""
        if len(examples) == 0:
            return
        if self._file is None:
            name = str(uuid.uuid4())
            self._file = pq.ParquetWriter(self._folder / name, examples.schema)
            self._bytes = 0
            self.shards.append({"split": self._split, "file": name, "rows": 0})
        self._group.append(examples)
        self._bytes += examples.nbytes
        self.shards[-1]["rows"] += len(examples)
        if self.shards[-1]["rows"] >= ROWS_PER_SHARD or self._bytes >= BYTES_PER_SHARD:
            self.close()
        elif sum(map(len, self._group)) >= _ROWS_PER_GROUP:
            self._write_group()

    def close(self) -> None:
        """Ends the shard in work, if there is one."""
        if self._file is not None:
            self._write_group()
            self._file.close()
            self._file = None

    def _write_group(self) -> None:
        if self._file is not None and self._group:
            rows = pa.Table.from_batches(self._group)
            num_rows = max(_BYTES_PER_GROUP * len(rows) // max(rows.nbytes, 1), 1)
            self._file.write_table(rows, row_group_size=min(num_rows, _ROWS_PER_GROUP))
            self._group = []
