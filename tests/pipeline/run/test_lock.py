import os
import subprocess
import sys

import pytest

from taskroute.pipeline.run.lock import locked
from taskroute.schemas.errors import ConfigError


def test_a_second_run_on_one_root_is_refused(tmp_path):
    path = tmp_path / "root" / ".lock"
    with locked(path), pytest.raises(ConfigError, match="another run"), locked(path):
        pass
    with locked(path):
        pass


def test_the_lock_of_a_run_that_was_killed_is_free(tmp_path):
    path = tmp_path / ".lock"
    program = f"""
import time
from pathlib import Path
from taskroute.pipeline.run.lock import locked
with locked(Path({str(path)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        said = f"another run \\(process {holder.pid}\\)"
        with pytest.raises(ConfigError, match=said), locked(path):
            pass
        holder.kill()
    with locked(path):
        assert path.read_text() == str(os.getpid())
