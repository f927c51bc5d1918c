"""Files of a run that are never seen half-written."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Replaces a file whole, or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
