"""Log files: found and opened on this machine, or wherever Beam reads (`gs://`, `s3://`, ...).

Beam reads names with a scheme; it is imported for such names only.
"""

import codecs
import errno
import glob
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from taskroute.schemas.errors import DataError

# Stands for bytes that are not UTF-8: a code point that no text may hold.
NOT_UTF8 = "\uffff"

_UTF_16 = "UTF-16 text; save it as UTF-8, or set `source.csv.encoding` to utf-16 for CSV"
_WIDE = {"utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"}
_MARK_BAD_BYTES = "taskroute.mark_bad_bytes"
_OTHER_KINDS = {
    b"\xff\xfe": _UTF_16,
    b"\xfe\xff": _UTF_16,
    b"\x1f\x8b": "gzip data; its name must end in .gz",
    b"PAR1": "a Parquet file; set `source.format` to parquet",
    b"PK\x03\x04": "a zip archive; unpack it or use gzip",
    b"BZh": "bzip2 data; unpack it or use gzip",
    b"\x28\xb5\x2f\xfd": "zstd data; unpack it or use gzip",
}


def _mark_bad_bytes(error: UnicodeError) -> tuple[str, int]:
    """Handler of text that cannot be decoded, as codecs call it."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return NOT_UTF8, error.end


codecs.register_error(_MARK_BAD_BYTES, _mark_bad_bytes)


def is_remote(name: str) -> bool:
    """True if a path or a pattern is for Beam's filesystems."""
    return "://" in name


def list_files(pattern: str) -> list[str]:
    """Files that a path or a pattern (`*`, `?`, `[...]`, `**`) names, sorted.

    Raises:
        DataError: If there are none.
    """
    if is_remote(pattern):
        files = [metadata.path for metadata in _match(pattern)]
    elif Path(pattern).is_dir():
        raise DataError(f"{pattern}: is a folder; name its files, e.g. {pattern.rstrip('/')}/*.csv")
    elif Path(pattern).is_file():
        return [pattern]
    else:
        files = [file for file in glob.glob(pattern, recursive=True) if Path(file).is_file()]
    if not files:
        raise DataError(f"{pattern}: no file matches; check `source.path` and `source.test_path`")
    return sorted(files)


def identity(file: str) -> str:
    """Key of a file, the same for all its names."""
    return file if is_remote(file) else str(Path(file).resolve())


def fingerprint(files: Sequence[str]) -> str:
    """Digest of names, sizes and times; changes when a file is added, removed or written."""
    digest = hashlib.sha256()
    for file in sorted(files):
        if is_remote(file):
            (metadata,) = _match(file)
            size, changed = metadata.size_in_bytes, metadata.last_updated_in_seconds
        else:
            with say_what_is_wrong(file):
                status = os.stat(file)
            size, changed = status.st_size, status.st_mtime_ns
        digest.update(f"{file}\0{size}\0{changed}\n".encode())
    return digest.hexdigest()


def open_file(file: str) -> pa.NativeFile:
    """Opens a file for reading at any place."""
    if not is_remote(file):
        return pa.OSFile(file)
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    stream = FileSystems.open(file, compression_type=CompressionTypes.UNCOMPRESSED)
    return pa.PythonFile(stream, mode="r")


def open_unpacked(file: str) -> pa.NativeFile:
    """Opens a file for reading from its start, unpacked where its name ends in .gz."""
    raw = open_file(file)
    return pa.CompressedInputStream(raw, "gzip") if file.endswith(".gz") else raw


class TextStream:
    """The text of a file: unpacked where its name ends in .gz, without byte order mark, as UTF-8.

    Bytes that are no text in the encoding come as NOT_UTF8; `has_bad_bytes` is set from then on.

    Args:
        file: Name of the file.
        encoding: Encoding of the text, by Python's name.

    Raises:
        DataError: If the file is another kind of data by its first bytes.
    """

    closed = False  # pa.PythonFile reads it

    def __init__(self, file: str, encoding: str = "utf-8"):
        self.has_bad_bytes = False
        self._raw = open_unpacked(file)
        self._is_at_end = False
        name = codecs.lookup(encoding).name
        self._is_utf_8 = name in ("utf-8", "utf-8-sig")
        # Keeps the first bytes of a character that the next read completes.
        self._decoder = codecs.getincrementaldecoder("utf-8" if self._is_utf_8 else name)(
            "surrogateescape" if self._is_utf_8 else _MARK_BAD_BYTES
        )
        start = self._raw.read(4)
        for magic, kind in _OTHER_KINDS.items():
            if start.startswith(magic) and (kind != _UTF_16 or name not in _WIDE):
                raise DataError(f"{file}: is {kind}")
        self._is_start = True
        self._ready = self._valid(start)

    def read(self, size: int = 1 << 20) -> bytes:
        """The next `size` bytes; fewer at the end only."""
        while len(self._ready) < size and not self._is_at_end:
            chunk = self._raw.read(size - len(self._ready))
            self._is_at_end = not chunk
            self._ready += self._valid(chunk)
        ready, self._ready = self._ready[:size], self._ready[size:]
        return ready

    def close(self) -> None:
        """Closes the file."""
        self._raw.close()
        self.closed = True

    def _valid(self, chunk: bytes) -> bytes:
        """UTF-8 of the next bytes; an empty chunk is the end of the file."""
        if self._is_utf_8 and chunk.isascii() and chunk and not self._decoder.getstate()[0]:
            self._is_start = False
            return chunk
        if self._is_utf_8 and not self._is_start:
            data = self._decoder.getstate()[0] + chunk
            try:
                _, size = codecs.utf_8_decode(data, "strict", not chunk)
            except UnicodeDecodeError:
                pass  # decoded again below, with its bad bytes marked
            else:
                self._decoder.setstate((data[size:], 0))
                return data[:size]
        text = self._decoder.decode(chunk, final=not chunk)
        if self._is_start and text:
            text, self._is_start = text.removeprefix("\ufeff"), False
        try:
            valid = text.encode()
        except UnicodeEncodeError:
            self.has_bad_bytes = True
            return re.sub("[\ud800-\udfff]+", NOT_UTF8, text).encode()
        if not self._is_utf_8 and NOT_UTF8 in text:
            self.has_bad_bytes = True
        return valid


@contextmanager
def say_what_is_wrong(file: str) -> Iterator[None]:
    """Turns errors of the system, Arrow or Beam about a file into one sentence."""
    try:
        yield
    except DataError:
        raise
    except UnicodeDecodeError:
        raise DataError(f"{file}: is not UTF-8 text") from None
    except (OSError, pa.ArrowException) as error:
        code = getattr(error, "errno", None)
        reason = os.strerror(code) if code else str(error).splitlines()[0]
        if "Truncated compressed stream" in reason:
            reason = "the compressed data ends too early; copy the file again"
        elif "inflate failed" in reason:
            reason = "it is not gzip data, or is damaged"
        elif code == errno.EISDIR:
            reason = "it is a folder"
        raise DataError(f"{file}: cannot be read: {reason}") from None


def _match(pattern: str) -> list[Any]:
    """Beam's metadata of the files that match."""
    from apache_beam.io.filesystem import BeamIOError
    from apache_beam.io.filesystems import FileSystems

    try:
        (result,) = FileSystems.match([pattern])
    except ValueError:
        scheme = pattern.partition("://")[0]
        raise DataError(
            f"{pattern}: Beam has no filesystem for {scheme}://; install apache-beam with "
            "its extra gcp, aws, azure or hadoop"
        ) from None
    except BeamIOError as error:
        raise DataError(f"{pattern}: cannot be listed: {str(error).splitlines()[0]}") from None
    return result.metadata_list
