"""The code of docs/extending.md passes every trunk's tests, in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys

import pytest

PLACE = re.compile(r"# (\S+?)(?:, (above|below) `(.*)`)?\n")
TESTS = (
    "tests/models/layers/test_every_layer.py",
    "tests/models/test_trunks.py",
    "tests/models/test_every_trunk_in_the_ranker.py",
)


def apply(block, folder):
    """Writes a new file, or adds lines above or below the one line that the block names."""
    place = PLACE.match(block)
    assert place, block
    name, side, line = place.groups()
    path, code = folder / name, block[place.end() :]
    if side is None:
        assert not path.exists(), name
        path.write_text(code)
        return
    lines = path.read_text().splitlines(keepends=True)
    (found,) = [index for index, each in enumerate(lines) if each == line + "\n"]
    is_class = code.startswith("class ")
    lines.insert(found + (side == "below"), code + "\n\n" * is_class)
    path.write_text("".join(lines))


@pytest.fixture(scope="module")
def copy(repository, pages, tmp_path_factory):
    """The parts of the repository that a trunk meets, with the page's code in them."""
    folder = tmp_path_factory.mktemp("copy")
    root = folder / "taskroute"
    root.mkdir()
    for name in ("schemas", "models", "components", "pipeline", "examples"):
        shutil.copytree(repository / name, folder / name)
        os.symlink(folder / name, root / name)
    for name in (*TESTS, "tests/conftest.py", "pyproject.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, folder / name)
    for block in pages["docs/extending.md"].blocks("python"):
        apply(block, folder)
    return folder


def call(copy, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
def test_the_new_trunk_passes_what_every_trunk_must(copy):
    ended = call(copy, "-m", "pytest", "-k", "gated_bottom or has_a_case", "-vv", *TESTS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    passed = set(re.findall(r"::(test_\w+)\S* PASSED", ended.stdout))
    assert passed >= {
        "test_every_weight_gets_a_gradient",
        "test_a_saved_model_gives_the_same_numbers",
        "test_routing_ends_at_the_tasks",
        "test_the_counted_parameters_are_those_of_the_built_trunk",
        "test_training_moves_every_weight_of_the_trunk",
        "test_every_layer_has_a_case",
        "test_every_kind_has_a_case",
    }


def test_the_new_code_is_as_the_rest_is_written(copy):
    for arguments in (["format", "--check"], ["check"]):
        ended = call(copy, "-m", "ruff", *arguments, "schemas", "models", *TESTS)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_what_the_page_names_is_there(repository, pages):
    for name in re.findall(
        r"`((?:schemas|models|components|pipeline|tests)/[\w/.]*)`",
        pages["docs/extending.md"].prose,
    ):
        assert "/NAME" in name or (repository / name).exists(), name
