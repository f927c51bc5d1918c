"""A digest of our code, so that TFX's cache sees an edit."""

import hashlib
from importlib import import_module
from pathlib import Path


def code_digest(*packages: str) -> str:
    """Digest of every module of `packages`, e.g. `taskroute.models`."""
    digest = hashlib.sha256()
    for package in packages:
        folder = Path(str(import_module(package).__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
