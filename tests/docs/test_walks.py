"""Walks of docs/extending.md: files that exist, each connected to an earlier one, in few steps."""

import ast
import re

import pytest

LIMITS = {
    "From a log row to a served score": 15,
    "From `trunk` in YAML to a layer": 4,
    "From a task's label to loss and metric": 4,
}


def walks(text):
    """Files of each walk, by heading."""
    section = text.partition("\n## Walks through the code\n")[2].partition("\n## ")[0]
    return {
        part.partition("\n")[0]: re.findall(r"^\d+\. `([\w/]+\.py)`", part, re.MULTILINE)
        for part in section.split("\n### ")[1:]
    }


def module(file):
    return "taskroute." + file.removesuffix(".py").replace("/", ".")


def names_in(path):
    """Dotted names that a file imports, or writes in a string."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ImportFrom(module=str(origin), names=aliases):
                names |= {origin, *(f"{origin}.{alias.name}" for alias in aliases)}
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.Constant(value=str(text)):
                # The path of a function, such as `run_fn`.
                names |= {text, text.rpartition(".")[0]}
    return names


def are_connected(file, other, repository):
    return module(file) in names_in(repository / other) or module(other) in names_in(
        repository / file
    )


@pytest.fixture(scope="module")
def files(pages):
    return walks(pages["docs/extending.md"].text)


def test_every_walk_is_on_the_page(files):
    assert list(files) == list(LIMITS)


@pytest.mark.parametrize("walk", LIMITS)
def test_a_walk_is_short(walk, files):
    assert 2 <= len(files[walk]) <= LIMITS[walk]
    assert len(files[walk]) == len(set(files[walk]))


@pytest.mark.parametrize("walk", LIMITS)
def test_every_file_of_a_walk_exists_and_is_connected_to_an_earlier_one(walk, files, repository):
    for position, file in enumerate(files[walk]):
        assert (repository / file).is_file(), file
        earlier = files[walk][:position]
        assert not earlier or any(are_connected(file, other, repository) for other in earlier), file


def test_files_that_nothing_connects_are_seen(repository):
    assert are_connected("models/trunks.py", "schemas/trunks.py", repository)
    assert are_connected("models/preprocessing.py", "pipeline/dag/pipeline.py", repository)
    assert not are_connected("models/layers/mmoe.py", "components/logs/spans.py", repository)
