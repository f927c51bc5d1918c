"""Noise goes to the log while it is kept quiet, and nothing stays changed afterwards."""

import logging
import os
import subprocess
import sys
import warnings

import pytest

from taskroute.pipeline.run.quiet import quiet


def state():
    descriptors = [os.fstat(number)[:3] for number in (1, 2)]
    return descriptors, list(warnings.filters), warnings.showwarning, sys.stdout, sys.stderr


def test_everything_is_as_it_was_afterwards_also_after_an_error(tmp_path):
    before, open_files = state(), len(os.listdir("/proc/self/fd"))
    logger = logging.getLogger("py.warnings").handlers[:]
    with quiet(tmp_path / "logs" / "log", verbose=False):
        assert state() != before
        warnings.filterwarnings("error")
    assert state() == before
    with pytest.raises(ValueError, match="told"), quiet(tmp_path / "log", verbose=False):
        raise ValueError("told")
    assert state() == before
    assert logging.getLogger("py.warnings").handlers == logger
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_only_the_console_reaches_the_terminal(tmp_path):
    program = """
import os, sys, warnings
from pathlib import Path
from taskroute.pipeline.run.quiet import quiet
print("before")
with quiet(Path(sys.argv[1]), verbose=False) as console:
    print("noise")
    os.write(1, b"native noise\\n")
    os.write(2, b"native error\\n")
    warnings.warn("ignored")
    console.print("a line")
print("after")
warnings.warn("seen")
"""
    log = tmp_path / "log"
    ended = subprocess.run(
        [sys.executable, "-c", program, log], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines() == ["before", "a line", "after"]
    assert "UserWarning: seen" in ended.stderr
    assert "ignored" not in ended.stderr
    assert sorted(log.read_text().splitlines()) == ["native error", "native noise", "noise"]


def test_verbose_changes_nothing(tmp_path, capsys):
    before = state()
    with quiet(tmp_path / "log", verbose=True) as console:
        assert state() == before
        console.print("a line")
    assert capsys.readouterr().out == "a line\n"
    assert not (tmp_path / "log").exists()
