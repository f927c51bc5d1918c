"""docs/troubleshooting.md has every sentence that the code can end in."""

import ast
import re
from pathlib import Path

import pytest

FOLDERS = ("schemas", "models", "components", "pipeline")
# Wherever they are raised, a user sees what they say.
SHOWN = {
    "UserError",
    "ConfigError",
    "DataError",
    "RequestError",
    "ServingError",
    "NotServedError",
    "CheckFailedError",
    "BadValues",
    "RuntimeError",
}


def fragments(node):
    """The constant parts of a text, in order; None where it is made elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            return [part.value for part in values if isinstance(part, ast.Constant)]
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            parts = fragments(left), fragments(right)
            return [*parts[0], *parts[1]] if None not in parts else None
    return None


def texts(call, tree):
    """Constant parts of what the arguments say, also where a function of the file words it."""
    for argument in call.args:
        match argument:
            case ast.Call(func=ast.Name(id=name)):
                for function in ast.walk(tree):
                    if isinstance(function, ast.FunctionDef) and function.name == name:
                        for node in ast.walk(function):
                            if isinstance(node, ast.Return) and node.value is not None:
                                yield fragments(node.value)
            case _:
                yield fragments(argument)


def sentences(path):
    """(line, constant parts) of every sentence that a file can say."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        is_config = path.parts[-2] == "schemas" and name == "ValueError"
        if name in SHOWN or is_config or name == "expect":
            for parts in texts(node, tree):
                if parts and re.search(r"[a-z]{3}.*\s", "".join(parts)):
                    yield node.lineno, parts


def is_for_programmers(parts, path):
    """A wrong argument of a call; the sample log's are words of a command's options."""
    return "Received:" in "".join(parts) and path.name not in ("sample_log.py", "model_server.py")


def found(parts, lines):
    pattern = re.compile(".*?".join(re.escape(" ".join(part.split())) for part in parts))
    return any(pattern.search(line) for line in lines)


@pytest.fixture(scope="module")
def lines(pages):
    text = pages["docs/troubleshooting.md"].text.replace(r"\|", "|")
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_sentence_is_on_the_page(folder, lines, repository):
    missing, seen = [], 0
    for path in sorted((repository / folder).rglob("*.py")):
        for number, parts in sentences(path):
            seen += 1
            if not is_for_programmers(parts, path) and not found(parts, lines):
                missing.append(f"{path.relative_to(repository)}:{number}: {'...'.join(parts)}")
    assert seen
    assert not missing, "add to docs/troubleshooting.md:\n" + "\n".join(missing)


def test_a_sentence_that_is_not_there_is_missed(lines, tmp_path):
    path = Path(tmp_path, "schemas", "other.py")
    path.parent.mkdir()
    path.write_text("def f(x):\n    raise ValueError(f'{x}: is a sentence of no page; mend it')\n")
    ((_, parts),) = sentences(path)
    assert parts == [": is a sentence of no page; mend it"]
    assert not found(parts, lines)
