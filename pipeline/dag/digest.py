"""Digests of our code, so that TFX's cache sees an edit of any module that a stage runs."""

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

# The command line leads to every module; the DAG names the functions of `models` that stages call.
WHOLE_PRODUCT = "taskroute.pipeline.cli.main"

_NAMESPACE = "taskroute"
_DOTTED = re.compile(rf"\b{_NAMESPACE}(?:\.\w+)+")
# The folders of the namespace, installed or not.
_ROOT = Path(__file__).parents[2]
# By text, not by syntax: a name in a comment covers more than it must, at a tenth of the time.
_IMPORTED = re.compile(rf"from ({_NAMESPACE}[\w.]*) import (\([^)]*\)|.*)")
_FILE = re.compile(r"\"(\w+\.(?:py|html|css))\"")


def dotted_names(text: str) -> set[str]:
    """Dotted paths of our modules in a text."""
    return set(_DOTTED.findall(text))


def code_digest(*names: str) -> str:
    """Digest of all files that `closure` reaches, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, path in sorted(closure(names).items()):
        digest.update(name.encode() + b"\0" + _file_digest(path))
    return digest.hexdigest()[:16]


def closure(names: Iterable[str]) -> dict[str, Path]:
    """Files that modules lead to: by imports, by dotted paths in texts, by names of files.

    No module is imported. A file that is no imported module (a template, a program for
    another process) counts where a module in its folder names it.

    Args:
        names: Dotted paths of our modules, or of functions in them; others are ignored.

    Returns:
        Paths by name, relative to the namespace's folder.
    """
    paths: dict[str, Path] = {}
    queue = {path for name in names for path in _files_of(name)}
    while queue:
        path = queue.pop()
        name = path.relative_to(_ROOT).as_posix()
        if name not in paths:
            paths[name] = path
            queue |= _leads_to(path)
    return paths


def _files_of(name: str) -> set[Path]:
    """Files of the module that a dotted path is in, and of its packages."""
    first, *parts = name.split(".")
    files, path = set(), _ROOT
    if first == _NAMESPACE:
        for part in parts:
            path = path / part
            files |= {
                file for file in (path / "__init__.py", path.with_suffix(".py")) if file.exists()
            }
    return files


@cache
def _leads_to(path: Path) -> frozenset[Path]:
    content = path.read_text(encoding="utf-8")
    names = dotted_names(content)
    for package, imported in _IMPORTED.findall(content):
        names |= {f"{package}.{name}" for name in re.findall(r"\w+", imported)}
    beside = {path.with_name(name) for name in _FILE.findall(content)}
    files = {file for name in names for file in _files_of(name)}
    return frozenset(files | {file for file in beside if file.is_file()})


@cache
def _file_digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()
