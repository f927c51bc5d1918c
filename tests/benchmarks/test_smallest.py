"""Every benchmark and every experiment runs at its smallest size, so that none can rot."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = sorted(
    path
    for folder in ("benchmarks", "research")
    for path in (REPOSITORY / folder).glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")
)
# It trains the other side of training.py, in an environment that has DeepCTR.
OTHER_SIDES = {"deepctr_mmoe"}


@pytest.mark.parametrize(
    "script",
    [path for path in SCRIPTS if path.stem not in OTHER_SIDES],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_a_script_ends_with_one_json_line_at_its_smallest_size(script, tmp_path):
    ended = subprocess.run(
        [sys.executable, script, "--smallest"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-5000:]
    *lines, last = ended.stdout.splitlines()
    result = json.loads(last)
    assert result["benchmark"] == script.stem
    assert result["machine"] in lines[-1]
    assert result["compared"] in lines[-1]
