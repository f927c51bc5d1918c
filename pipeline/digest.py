"""A digest of our code, so that TFX's cache sees an edit."""

import hashlib
from importlib.util import find_spec
from pathlib import Path


def code_digest(*names: str) -> str:
    """Digest of modules, and of packages with all their modules, e.g. `taskroute.models`."""
    digest = hashlib.sha256()
    for name in names:
        # Not imported: a module may need TensorFlow.
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ValueError(f"`names` must be modules. Received: {name}")
        path = Path(spec.origin)
        is_package = path.name == "__init__.py"
        for file in sorted(path.parent.rglob("*.py")) if is_package else [path]:
            digest.update(file.relative_to(path.parent).as_posix().encode() + b"\0")
            digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
