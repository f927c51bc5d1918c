import os
import subprocess
import sys

import pytest

from taskroute.pipeline.digest import code_digest
from taskroute.pipeline.lock import locked
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
from taskroute.pipeline.lock import locked
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


def test_a_digest_changes_with_the_code(tmp_path, monkeypatch):
    package = tmp_path / "some_package_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_digest(package.name)
    assert code_digest(package.name) == before
    (package / "a.py").write_text("x = 2\n")
    assert code_digest(package.name) != before


def test_a_digest_can_cover_one_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "some_module_of_a_test.py"
    module.write_text("x = 1\n")
    before = code_digest(module.stem)
    (tmp_path / "another.py").write_text("")
    assert code_digest(module.stem) == before
    module.write_text("x = 2\n")
    assert code_digest(module.stem) != before
