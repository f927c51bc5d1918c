"""Serializes rows of Arrow list arrays as tf.Examples, with Arrow's kernels only.

The encoder of tfx_bsl writes the features of each row in another order every time, as C++
protobuf maps do; here the same rows always give the same bytes, in about a third of the time.

The protobuf wire format of what is needed: a message, a text and a packed list of numbers are each
a tag byte, their length as a varint, and their content. An Example holds a Features message,
which holds one entry a feature: its name and a Feature, which is empty where the value is missing
and else holds a BytesList, a FloatList or an Int64List.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.components.example_files.varints import varints

_FIRST, _SECOND, _THIRD = b"\x0a", b"\x12", b"\x1a"  # tags of the fields 1 to 3, with a length
_ROWS_AT_ONCE = 8192  # few enough to stay in the processor's cache
_BYTES_AT_ONCE = 1 << 28  # Arrow's offsets end at 2^31


def encode(batch: pa.RecordBatch) -> pa.Array:
    """Serializes each row as a tf.Example with its features in alphabetical order.

    Args:
        batch: Columns of list<binary>, list<float32> or list<int64>; null is a missing value.

    Returns:
        (N,) large_binary, a tf.Example each: the bytes of protobuf's deterministic serialization.
    """
    bytes_per_row = batch.nbytes // max(batch.num_rows, 1) + 1
    step = min(max(_BYTES_AT_ONCE // bytes_per_row, 1), _ROWS_AT_ONCE)
    pieces = [_encode(batch.slice(start, step)) for start in range(0, batch.num_rows, step)]
    return pa.concat_arrays([pa.array([], pa.large_binary()), *pieces])


def _encode(batch: pa.RecordBatch) -> pa.Array:
    pieces: list[pa.Array | pa.Scalar] = []
    for name in sorted(batch.schema.names):
        pieces.extend(_feature(name, batch[name]))
    features = join(*pieces)
    examples = join(heads(lengths(features), lambda size: _head(_FIRST, size)), features)
    return examples.cast(pa.large_binary())


def _feature(name: str, lists: pa.Array) -> tuple[pa.Array | pa.Scalar, pa.Array]:
    """What stands before a feature's values in each row, and the values."""
    counts = np.asarray(pc.fill_null(lists.value_lengths(), 0))
    rows = np.concatenate([[0], np.cumsum(counts)])
    values = lists.flatten()
    make_head = _text_head
    if pa.types.is_integer(values.type):
        make_head = _int_head
        offsets, encoded = varints(np.asarray(values))
        content = pa.py_buffer(encoded)
    elif not pa.types.is_binary(values.type):
        make_head = _float_head
        offsets, content = np.arange(len(values) + 1) * 4, pa.py_buffer(np.asarray(values, "<f4"))
    elif counts.max(initial=0) <= 1 and lengths(values).min(initial=1) > 0:
        make_head = _one_text_head
        offsets, content = _buffers(values)
    else:
        offsets, content = _buffers(join(heads(lengths(values), _term_head), values))
    by_row = pa.Array.from_buffers(
        pa.binary(), len(lists), [None, pa.py_buffer(offsets[rows].astype(np.int32)), content]
    )
    return heads(lengths(by_row), lambda size: _entry_head(name, make_head(size), size)), by_row


def _entry_head(name: str, values_head: bytes, size: int) -> bytes:
    """All of a feature's entry but its values, which take up `size` bytes; nothing where none."""
    if size == 0:
        values_head = b""
    key = name.encode()
    entry = _head(_FIRST, len(key)) + key + _head(_SECOND, len(values_head) + size) + values_head
    return _head(_FIRST, len(entry) + size) + entry


def _text_head(size: int) -> bytes:
    """Before a list of terms, each with its head."""
    return _head(_FIRST, size)


def _one_text_head(size: int) -> bytes:
    """Before the only term of a list, its own head included."""
    return _head(_FIRST, len(_term_head(size)) + size) + _term_head(size)


def _float_head(size: int) -> bytes:
    """Before a list of floats."""
    packed_head = _head(_FIRST, size)
    return _head(_SECOND, len(packed_head) + size) + packed_head


def _int_head(size: int) -> bytes:
    """Before a list of whole numbers."""
    packed_head = _head(_FIRST, size)
    return _head(_THIRD, len(packed_head) + size) + packed_head


def _term_head(size: int) -> bytes:
    return _head(_FIRST, size)


def _head(tag: bytes, size: int) -> bytes:
    varint = bytearray()
    while size > 0x7F:
        varint.append(size & 0x7F | 0x80)
        size >>= 7
    varint.append(size)
    return tag + varint


def heads(sizes: np.ndarray, make: Callable[[int], bytes]) -> pa.Array | pa.Scalar:
    """(N,) `make` of each size, called once for each that occurs; one for all if they are equal."""
    if len(sizes) and (sizes == sizes[0]).all():
        return pa.scalar(make(int(sizes[0])), pa.binary())
    occurring = np.flatnonzero(np.bincount(sizes))
    place = np.zeros(int(sizes.max(initial=0)) + 1, np.int32)
    place[occurring] = np.arange(len(occurring))
    made = pa.array([make(size) for size in occurring.tolist()], pa.binary())
    return made.take(pa.array(place[sizes]))


def lengths(values: pa.Array) -> np.ndarray:
    """(N,) bytes of each value of a binary array without nulls."""
    return np.asarray(pc.binary_length(values))


def join(*pieces: pa.Array | pa.Scalar) -> pa.Array:
    """Joins binary values row by row; a scalar stands in every row."""
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", pieces[0].type))


def _buffers(values: pa.Array) -> tuple[np.ndarray, pa.Buffer]:
    """(N + 1,) offsets, and content, of a binary array."""
    _, offsets, content = values.buffers()
    if not offsets:
        return np.zeros(1, np.int32), pa.py_buffer(b"")
    first = values.offset
    used = np.frombuffer(offsets, np.int32)[first : first + len(values) + 1]
    return used, content if content else pa.py_buffer(b"")
