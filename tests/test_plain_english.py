"""Docstrings and descriptions begin with their subject: a noun, or the verb of what is done."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (
    "schemas",
    "models",
    "components",
    "pipeline",
    "benchmarks",
    "research",
    "tools",
    "tests",
)
# Words behind which a reader must wait for the subject.
_OPENING = re.compile(r"(What|Of|By|Those|That|Which|Whose|It|They|These|This|How|Why)\b")
_ARGUMENT = re.compile(r"^\s{4,}(\w+): (\w.*)$", re.MULTILINE)


def sentences(path):
    """(line, text) of docstrings, lines of arguments and attributes, and descriptions of fields."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            line = getattr(node, "lineno", 1)
            yield line, text
            for match in _ARGUMENT.finditer(text):
                yield line, match[2]
        match node:
            case ast.keyword(arg="description", value=ast.Constant(value=str(text))):
                yield node.value.lineno, text


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_sentence_begins_with_its_subject(folder):
    paths = sorted((ROOT / folder).rglob("*.py"))
    assert paths
    late = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0][:60]}"
        for path in paths
        for line, text in sentences(path)
        if _OPENING.match(text)
    ]
    assert not late


@pytest.mark.parametrize(
    ("text", "is_late"),
    [("What a run left.", True), ("Files of a run.", False), ("Offers a file.", False)],
)
def test_an_opening_is_a_whole_word(text, is_late):
    assert bool(_OPENING.match(text)) == is_late
