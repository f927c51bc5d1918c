"""Every command in the docs exists, and takes the options that it is given."""

import importlib.util
import re
import shlex

import click
import pytest

from taskroute.pipeline.cli.main import cli

# What a page may show besides our own: the standard tools of a shell, and a container's.
_OTHERS = {
    "cat", "cd", "cp", "curl", "docker", "git", "head", "kill", "ls", "mkdir", "mv", "source",
    "tail", "tensorboard",
}  # fmt: skip
_DOCUMENT = re.compile(r"<<'(\w+)'\n.*?^\1$", re.DOTALL | re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)


def tokens_of_lines(block):
    """The words and marks of each line; a line goes on where a quote or a backslash says so."""
    text = ""
    for line in _DOCUMENT.sub("", block).replace("\\\n", " ").splitlines():
        text += line
        lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        try:
            yield list(lexer)
        except ValueError:  # within quotes
            text += "\n"
        else:
            text = ""
    assert not text, f"a quote is not closed: {text}"


def simple_commands(block):
    """Lists of words: one for each program that the lines of a block call."""
    words, commands = [], []
    for tokens in tokens_of_lines(block):
        is_file = False
        for token in [*tokens, ";"]:
            if is_file:
                is_file = False
            elif token in ("<", ">", ">>", "2>", "<<<"):
                is_file = True
            elif set(token) <= set("();<>|&"):
                commands.append(words)
                words = []
            else:
                words.append(token)
    return [call for call in map(without_assignments, commands) if call]


def without_assignments(words):
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    return words


def parse(arguments):
    """Raises click's exception where `taskroute` would."""
    name, *rest = arguments
    if name.startswith("-"):
        cli.make_context("taskroute", [name, *rest])
    elif name not in cli.commands:
        raise click.UsageError(f"there is no command {name}")
    else:
        cli.commands[name].make_context(name, rest)


def require_all(block, repository):
    for words in simple_commands(block):
        require(words, repository)


def require(words, repository):
    """Fails where the words are no command that can be called here."""
    program, *arguments = words
    program = program.rpartition("/")[2]
    if program == "taskroute":
        try:
            parse(arguments)
        except click.exceptions.Exit:
            pass
        except click.ClickException as error:
            pytest.fail(f"{shlex.join(words)}: {error.format_message()}")
    elif program == "make":
        targets = re.findall(r"^(\w+):", (repository / "Makefile").read_text(), re.MULTILINE)
        assert set(arguments) <= set(targets), words
    elif program in ("python", "pytest"):
        require_python([*(["-m"] if program == "pytest" else []), *arguments], repository, words)
    else:
        assert program in _OTHERS, f"{words}: not a program that the docs may call"


def require_python(arguments, repository, words):
    if arguments[0] == "-m":
        if arguments[1].startswith("taskroute"):
            assert importlib.util.find_spec(arguments[1]), words
    elif arguments[0] != "-c":
        assert (repository / arguments[0]).is_file(), words


def test_every_command_in_a_block_can_be_called(page, repository):
    for block in page.blocks("sh"):
        require_all(block, repository)


def test_blocks_that_hold_commands_say_so(page):
    for block in page.blocks(""):
        for line in block.splitlines():
            assert not re.match(r"(\S+/)?(taskroute|python|make|docker) (?!\.)", line), line


def test_every_command_in_the_text_exists(page):
    for code in re.findall(r"(?<!`)`(?:\S+/)?taskroute ([a-z][^`]*)`(?!`)", page.prose):
        assert code.split()[0] in cli.commands, code


@pytest.mark.parametrize(
    "line",
    [
        "taskroute run",
        "taskroute run x.yaml --nope",
        ".venv/bin/taskroute walk x.yaml",
        "A=1 taskroute retrain x.yaml && taskroute compare x.yaml --seeds many",
        "make nothing",
        "python benchmarks/nothing.py",
        "wget x",
    ],
)
def test_what_cannot_be_called_is_found(line, repository):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        require_all(line, repository)
