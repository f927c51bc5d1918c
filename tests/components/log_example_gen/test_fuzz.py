"""Hostile files of every format: no crash, and no row that is neither read nor left out."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("fuzz_worker.py")


def _try(kind: str, examples: int, folder: Path) -> dict[str, int]:
    """Numbers of files that were read and refused; a crash is told with its file."""
    last = folder / f"last.{kind}"
    command = [sys.executable, str(WORKER), kind, str(examples), str(last)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"ended with {done.returncode} on {last.read_bytes()!r}\n{done.stderr[-4000:]}"
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("kind", "examples"), [("csv", 500), ("jsonl", 250), ("parquet", 250)])
def test_hostile_files_lose_no_row(tmp_path, kind, examples):
    told = _try(kind, examples, tmp_path)
    assert told["read"] + told["refused"] >= examples
    assert told["read"] >= examples // 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "examples"), [("csv", 10_000), ("jsonl", 5_000), ("parquet", 5_000)]
)
def test_many_hostile_files_lose_no_row(tmp_path, kind, examples):
    told = _try(kind, examples, tmp_path)
    assert told["read"] + told["refused"] >= examples
