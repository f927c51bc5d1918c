"""Puts records into the frames of a TFRecord file, a batch at a time.

A frame is the record's length (8 bytes), its checksum (4), the record, and its checksum (4), all
little-endian; a checksum is CRC-32C, rotated and shifted (TensorFlow, core/lib/hash/crc32c.h).
TensorFlow's own writer takes one record a call, which takes as long as to encode it.
"""

import google_crc32c
import numpy as np
import pyarrow as pa

from taskroute.components.example_files.encoder import heads, join, lengths

_MASK_DELTA = np.uint32(0xA282EAD8)


def frame(records: pa.Array) -> pa.Buffer:
    """The bytes of a TFRecord file that holds the records.

    Args:
        records: large_binary without nulls.
    """
    if len(records) == 0:
        return pa.py_buffer(b"")
    before = heads(lengths(records), _before).cast(pa.large_binary())
    raw = records.to_numpy(zero_copy_only=False)
    checksums = _mask(np.fromiter(map(google_crc32c.value, raw), np.uint32, len(raw)))
    after = pa.Array.from_buffers(pa.binary(4), len(raw), [None, pa.py_buffer(checksums)])
    framed = join(before, records, after.cast(pa.large_binary()))
    return framed.buffers()[2]


def _before(length: int) -> bytes:
    """What stands before a record."""
    text = length.to_bytes(8, "little")
    checksum = _mask(np.asarray([google_crc32c.value(text)], np.uint32))
    return text + checksum.tobytes()


def _mask(checksums: np.ndarray) -> np.ndarray:
    """(N,) uint32, little-endian."""
    rotated = (checksums >> np.uint32(15)) | (checksums << np.uint32(17))
    return (rotated + _MASK_DELTA).astype("<u4")
