"""Hashes that never change: they assign rows to splits and to jackknife groups."""

import numpy as np
import pyarrow as pa

# SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): its increment and its finaliser.
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def hash_texts(texts: pa.Array) -> np.ndarray:
    """Hashes texts; the same text has the same hash in every run, batch and machine.

    A text is taken as little-endian words of 8 bytes, filled up with zeros; each word is added
    to the hash, which SplitMix64's finaliser then mixes; the length comes last.

    Args:
        texts: (N,) string, binary, large_string or large_binary; without nulls.

    Returns:
        (N,) uint64.
    """
    _, offsets, content = texts.buffers()
    is_large = pa.types.is_large_string(texts.type) or pa.types.is_large_binary(texts.type)
    offsets = np.frombuffer(offsets, np.int64 if is_large else np.int32)
    offsets = offsets[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(content, np.uint8) if content else np.empty(0, np.uint8)
    starts = offsets[:-1].astype(np.int64)
    lengths = np.diff(offsets).astype(np.int64)
    padded = np.concatenate([data, np.zeros(8, np.uint8)])
    hashes = np.zeros(len(starts), np.uint64)
    rows, position = np.flatnonzero(lengths), 0
    while len(rows):
        places = (starts[rows] + position)[:, None] + np.arange(8)
        inside = np.arange(8) < (lengths[rows] - position)[:, None]
        words = np.where(inside, padded[places], 0).astype(np.uint8).view("<u8")[:, 0]
        hashes[rows] = mix(hashes[rows] + words.astype(np.uint64))
        position += 8
        rows = rows[lengths[rows] > position]
    return mix(hashes + lengths.astype(np.uint64))


def mix(hashes: np.ndarray) -> np.ndarray:
    """SplitMix64 of uint64 (N,): one to one, and near numbers come out far apart."""
    hashes = hashes + _INCREMENT
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _FACTORS[0]
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _FACTORS[1]
    return hashes ^ (hashes >> np.uint64(31))
