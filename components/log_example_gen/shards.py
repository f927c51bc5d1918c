"""Writes the examples of a split to shards: gzipped TFRecord files."""

import uuid
import zlib
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from taskroute.components.example_files import tfrecords

ROWS_PER_SHARD = 250_000
# Level 1 leaves a fifth of the bytes and is read back as fast as none; level 6 leaves a seventh for
# three times the time.
_LEVEL = 1
_GZIP = 16 + zlib.MAX_WBITS


class ShardWriter:
    """Writes shards of names that no other worker uses; `shards` tells which.

    Args:
        folder: Where to.
        split: What the shards are of.
        thread: One thread beside the caller's: compression takes as long as all that comes before.
    """

    def __init__(self, folder: Path, split: str, thread: Executor):
        self.shards: list[dict[str, Any]] = []
        self._folder = folder
        self._split = split
        self._thread = thread
        self._pending: Future[None] | None = None
        self._file: BinaryIO | None = None

    def write(self, examples: pa.Array) -> None:
        """Appends serialized examples, large_binary, and begins a new shard where one is full.

        Returns before they are written, but not before those of the last call are.
        """
        if len(examples) == 0:
            return
        if self._file is None:
            name = str(uuid.uuid4())
            self._file = (self._folder / name).open("wb")
            self._gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
            self.shards.append({"split": self._split, "file": name, "rows": 0})
        self._wait()
        self._pending = self._thread.submit(_append, self._file, self._gzip, examples)
        self.shards[-1]["rows"] += len(examples)
        if self.shards[-1]["rows"] >= ROWS_PER_SHARD:
            self.close()

    def close(self) -> None:
        """Ends the shard in work, if there is one."""
        if self._file is not None:
            self._wait()
            self._file.write(self._gzip.flush())
            self._file.close()
            self._file = None

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None


def _append(file: BinaryIO, compressor: Any, examples: pa.Array) -> None:
    file.write(compressor.compress(tfrecords.frame(examples)))
