"""Names that benchmarks and research import from the package exist; the slow tier runs them."""

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
SCRIPTS = sorted(
    path for folder in ("benchmarks", "research") for path in (REPOSITORY / folder).glob("*.py")
)


def names_in(module: str) -> set[str]:
    """Names that a module defines or imports, and the modules in it; without running it."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    origin = Path(spec.origin)
    tree = ast.parse(origin.read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {getattr(node, "name", "") for node in tree.body}
    names |= {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    if origin.name == "__init__.py":
        names |= {path.stem for path in origin.parent.iterdir()}
    return names


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_imports_what_is_there(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("taskroute"):
            wanted = {alias.name for alias in node.names}
            assert wanted <= names_in(node.module), node.module
