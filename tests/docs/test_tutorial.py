"""The commands of docs/tutorial.md, one after another, end with a served prediction.

What is left out: the installation, which whoever runs the tests has, and the comparison, which
`tests/e2e/test_compare.py` runs and which is half of the time. The log is a fifth as long.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LEFT_OUT = ("make setup", "taskroute compare")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


@pytest.fixture(scope="module")
def pasted(pages, tmp_path_factory):
    """Output of the shell, and the folder that it worked in."""
    blocks = pages["docs/tutorial.md"].blocks("sh")
    kept = [block for block in blocks if not block.startswith(LEFT_OUT)]
    assert len(kept) == len(blocks) - len(LEFT_OUT)
    script = "\n".join(["set -eu", *kept])
    for written, ours in (("30000", "6000"), ("8500", free_port()), ("8501", free_port())):
        assert written in script
        script = script.replace(written, ours)
    folder = tmp_path_factory.mktemp("tutorial")
    ended = subprocess.run(
        ["/bin/bash", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended, folder


def predictions(output):
    lines = [line for line in output.splitlines() if line.startswith('{"predictions"')]
    return [json.loads(line)["predictions"] for line in lines]


def test_the_tutorial_ends_with_a_served_prediction(pasted):
    first, last = predictions(pasted[0].stdout)
    assert len(last) == 1
    assert set(last[0]) == {"click", "like", "share", "watch_seconds"}
    assert all(0 < last[0][task] < 1 for task in ("click", "like", "share"))
    assert last[0]["watch_seconds"] > 0
    # Rolled back, the first version answers as it did.
    assert first == last


def test_the_day_that_came_was_trained_on_and_rolled_back(pasted):
    ended, folder = pasted
    (verdict,) = [line for line in ended.stdout.splitlines() if line.startswith('{"name"')]
    assert json.loads(verdict)["outcome"] == "pushed"
    assert json.loads(verdict)["last_span"] == "2026-01-14"
    assert [path.name for path in (folder / "runs/feed/serving/feed").glob("[0-9]*")] == ["1"]


def test_nothing_but_the_commands_speaks(pasted):
    assert pasted[0].stderr == ""
