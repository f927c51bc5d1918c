"""Safe names: of features, and of the inputs of a served model's signatures.

A log names its columns as it likes. TensorFlow calls a signature by keyword arguments: their names
are ASCII identifiers, none of Python's own words, and no two are equal but for their case.
"""

import hashlib
import keyword
import re
import unicodedata
from collections.abc import Iterable
from itertools import count

LONGEST_NAME = 64

# `self` is an argument of TensorFlow's call; a row of one `b64` is bytes to REST.
_TAKEN = frozenset({*keyword.kwlist, "self", "b64"})
_SAFE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
    | {"ä": "ae", "Ä": "Ae", "ö": "oe", "Ö": "Oe", "ü": "ue", "Ü": "Ue", "đ": "d", "Đ": "D"}
)


def safe_name(text: str) -> str:
    """Nearest name of ASCII letters, digits and underscores, a letter first; `text` if it is one.

    Text without such characters becomes `column_` and a digest. Different texts may get one name:
    see `input_names`.
    """
    name = text
    if not _SAFE.fullmatch(name):
        latin = unicodedata.normalize("NFC", text).translate(_LETTERS)
        plain = unicodedata.normalize("NFKD", latin).encode("ascii", "ignore").decode()
        name = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")
        if not name:
            name = f"column_{_digest(text)}"
        elif not name[0].isalpha():
            name = f"column_{name}"
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 9]}_{_digest(text)}"
    return f"{name}_" if name in _TAKEN else name


def input_names(names: Iterable[str]) -> dict[str, str]:
    """Distinct names of a signature's inputs, by column or feature.

    A name that is safe stays as it is. Where several would be the same but for their case, the one
    that is so already keeps it, the one in lower case first, and each other gets a digest of its
    own name: none depends on the order.
    """
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(safe_name(name).lower(), []).append(name)
    given: dict[str, str] = {}
    others: list[str] = []
    for group in groups.values():
        unchanged = [name for name in group if safe_name(name) == name]
        if unchanged or len(group) == 1:
            kept = min(unchanged or group, key=lambda name: (name != name.lower(), name))
            given[kept] = safe_name(kept)
            group.remove(kept)
        others += group
    taken = {name.lower() for name in given.values()}
    for name in sorted(others):
        tries = (f"{safe_name(name)}_{_digest(name + '.' * again)}" for again in count())
        given[name] = next(each for each in tries if each.lower() not in taken)
        taken.add(given[name].lower())
    return given


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
