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


def parts_of_components():
    """Folders of components by whether they are stages: a stage has an interface."""
    folders = [path for path in (ROOT / "components").iterdir() if (path / "__init__.py").exists()]
    stages = {path.name for path in folders if (path / "component.py").exists()}
    return stages, {path.name for path in folders} - stages


def test_a_stage_imports_no_other_stage_and_a_library_none():
    stages, libraries = parts_of_components()
    assert {"log_example_gen", "trainer", "task_evaluator"} <= stages
    assert {"logs", "measures", "served"} <= libraries
    for folder in sorted(stages | libraries):
        for path in sorted((ROOT / "components" / folder).rglob("*.py")):
            for name in imported(path):
                target = name.removeprefix("taskroute.components.").partition(".")[0]
                if name.startswith("taskroute.components.") and target in stages:
                    assert target == folder, f"{path}: imports the stage {target}"


def test_a_library_holds_no_interface_of_a_stage():
    for folder in parts_of_components()[1]:
        for path in (ROOT / "components" / folder).rglob("*.py"):
            names = imported(path)
            assert not any(name.startswith("tfx.dsl.component") for name in names), path


def test_folder_class_and_stage_bear_one_name():
    for folder in parts_of_components()[0]:
        tree = ast.parse((ROOT / "components" / folder / "component.py").read_text())
        names = {getattr(node, "name", "") for node in tree.body}
        assert folder.title().replace("_", "") in names, folder


@pytest.mark.parametrize("heavy", ["tensorflow", "tfx", "apache_beam", "tf_keras"])
def test_schemas_import_nothing_heavy(heavy):
    for path in (ROOT / "schemas").rglob("*.py"):
        assert not any(name.split(".")[0] == heavy for name in imported(path)), path


def test_nothing_imports_the_slow_front_of_tfx():
    for folder in ALLOWED:
        for path in (ROOT / folder).rglob("*.py"):
            assert not any(name.startswith("tfx.v1") for name in imported(path)), path
