"""Whole numbers as protobuf writes them: seven bits a byte, the low ones first."""

import numpy as np

_BITS = np.uint64(7)


def varints(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encodes whole numbers.

    Args:
        values: (N,) int64; negative ones take ten bytes, as in protobuf.

    Returns:
        (N + 1,) int64 offsets and the uint8 bytes: number i is bytes offsets[i] to offsets[i + 1].
    """
    left = values.astype(np.int64).view(np.uint64)
    columns: list[np.ndarray] = []
    while not columns or left.any():
        columns.append((left & np.uint64(0x7F)).astype(np.uint8))
        left = left >> _BITS
    table = np.stack(columns, axis=1)
    # As many bytes as reach the highest that is not zero, and at least one.
    widths = table.shape[1] - np.argmax(table[:, ::-1] != 0, axis=1)
    widths[~table.any(axis=1)] = 1
    place = np.arange(table.shape[1])
    table[place < widths[:, np.newaxis] - 1] |= 0x80
    offsets = np.concatenate([[0], np.cumsum(widths)])
    return offsets, table[place < widths[:, np.newaxis]]
