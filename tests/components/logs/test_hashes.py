"""A hash of texts that never changes."""

import numpy as np
import pyarrow as pa
import pytest

from taskroute.components.logs.hashes import hash_texts


def _hashes(texts: list[bytes]) -> np.ndarray:
    return hash_texts(pa.array(texts, pa.binary()))


def _hash_in_python(text: bytes) -> int:
    def mix(value: int) -> int:
        value = (value + 0x9E3779B97F4A7C15) % 2**64
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
        return value ^ (value >> 31)

    value = 0
    for start in range(0, len(text), 8):
        value = mix(value + int.from_bytes(text[start : start + 8], "little"))
    return mix((value + len(text)) % 2**64)


GOLDEN = [
    "0xe220a8397b1dcdaf",
    "0xd442dd5b42960211",
    "0xce1234d7540f2ab1",
    "0x12a7373cd9a8f650",
    "0xf410360d3197b0",
    "0xef59324104b22bc5",
]


def test_hashes_are_the_same_in_every_version():
    """A change of these numbers moves users between the splits of running systems."""
    texts = [b"", b"a", b"user_1", b"12345678", b"123456789", "é".encode()]
    assert [hex(value) for value in _hashes(texts)] == GOLDEN


def test_one_text_hashed_in_plain_python_agrees():
    assert int(_hashes([b"user_123456"])[0]) == _hash_in_python(b"user_123456")


def test_a_hash_depends_on_the_text_alone():
    texts = [b"", b"a", b"long enough for several words", b"a", b"12345678"]
    together = _hashes(texts)
    assert together[1] == together[3]
    assert together.tolist() == [int(_hashes([text])[0]) for text in texts]
    assert together[::-1].tolist() == _hashes(texts[::-1]).tolist()


def test_zero_bytes_count():
    assert len(set(_hashes([b"", b"\0", b"\0\0", b"a", b"a\0"]).tolist())) == 5


def test_a_slice_is_hashed_as_what_it_holds():
    texts = pa.array([b"xx", b"abc", b"yy"])
    assert hash_texts(texts.slice(1, 1)) == _hashes([b"abc"])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.large_binary()])
def test_a_hash_does_not_depend_on_arrows_type(kind):
    texts = [b"", b"a", "é".encode(), b"long enough for several words"]
    assert hash_texts(pa.array(texts).cast(kind)).tolist() == _hashes(texts).tolist()
