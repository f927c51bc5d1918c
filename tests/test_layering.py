"""Dependencies run one way, and only through the import root."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "schemas": set(),
    "models": {"schemas"},
    "components": {"schemas"},
    "pipeline": {"schemas", "models", "components"},
}


def imported(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names.append(node.module or "")
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_what_is_below_it(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            first, _, rest = name.partition(".")
            assert first not in ALLOWED, f"{path}: `{name}` must be imported as taskroute.{name}"
            assert first != "tests", f"{path}: imports tests"
            target = rest.partition(".")[0]
            if first == "taskroute" and target in ALLOWED:
                assert target in ALLOWED[folder] | {folder}, f"{path}: {folder} imports {target}"


@pytest.mark.parametrize("heavy", ["tensorflow", "tfx", "apache_beam", "tf_keras"])
def test_schemas_import_nothing_heavy(heavy):
    for path in (ROOT / "schemas").rglob("*.py"):
        assert not any(name.split(".")[0] == heavy for name in imported(path)), path


def test_nothing_imports_the_slow_front_of_tfx():
    for folder in ALLOWED:
        for path in (ROOT / folder).rglob("*.py"):
            assert not any(name.startswith("tfx.v1") for name in imported(path)), path
