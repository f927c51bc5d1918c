"""Findings of the doctor, and their remedies."""

import os
import subprocess
import sys
import time
from importlib.metadata import version

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from taskroute.pipeline.inspection import doctor
from taskroute.pipeline.inspection.doctor import Finding
from taskroute.pipeline.run.paths import RunPaths
from taskroute.schemas.metadata import MysqlMetadata, SqliteMetadata


@pytest.fixture
def lock(tmp_path):
    def write(*lines):
        path = tmp_path / "requirements.lock"
        path.write_text("# a comment\n" + "".join(f"{line} \\\n    --hash=x\n" for line in lines))
        return path

    return write


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a shell script on the PATH in place of a program."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def write(name, text):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    return write


def test_what_is_installed_as_locked_is_right(lock):
    finding = doctor.check_lock(lock(f"pytest=={version('pytest')}", f"numpy=={version('numpy')}"))
    assert finding == Finding("requirements.lock", "all 2 packages are as it says")


def test_packages_that_differ_from_the_lock_are_named_as_a_note(lock):
    finding = doctor.check_lock(
        lock("pytest==0.1", "no-such-package==3", f"numpy=={version('numpy')}")
    )
    assert f"2 of 3 differ: pytest {version('pytest')}, not 0.1; no-such-package missing" in (
        finding.state
    )
    assert finding.mend
    assert not finding.is_wrong


def test_a_folder_to_come_is_judged_by_the_one_that_is_there(tmp_path):
    (finding,) = doctor.check_folder("root", tmp_path / "runs" / "shop")
    assert str(tmp_path) + " can be written" in finding.state
    assert not (tmp_path / "runs").exists()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_wrong(tmp_path):
    (tmp_path / "file").touch()
    (finding,) = doctor.check_folder("root", tmp_path / "file")
    assert finding.is_wrong
    assert "--root" in finding.mend


def test_a_full_disk_is_wrong(tmp_path, monkeypatch):
    usage = doctor.shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    (finding,) = doctor.check_folder("root", tmp_path)
    assert finding.is_wrong
    assert "1 GB free" in finding.state


@pytest.mark.parametrize(("shift", "words"), [(60, "60 s behind"), (-60, "60 s ahead of")])
def test_files_whose_time_is_not_ours_are_wrong(tmp_path, monkeypatch, shift, words):
    now = time.time
    monkeypatch.setattr(doctor.time, "time", lambda: now() + shift)
    _, clock = doctor.check_folder("root", tmp_path)
    assert words in clock.state
    assert clock.is_wrong


def test_devices_that_tensorflow_does_not_see_are_a_note(program):
    program("nvidia-smi", "echo 'GPU 0: A'; echo 'GPU 1: B'")
    assert doctor.check_gpu(2).mend is None
    finding = doctor.check_gpu(0)
    assert finding.state == "0 visible to TensorFlow, 2 to the driver"
    assert "gpu" in finding.mend
    assert not finding.is_wrong


def test_tools_that_do_not_answer_are_notes(program):
    program("docker", "echo 'no daemon' >&2; exit 1")
    program("java", "echo 'openjdk 17' >&2")
    docker, java, _ = doctor._tools()
    assert docker.mend
    assert not docker.is_wrong
    assert java == Finding("java", "openjdk 17")


def test_a_metadata_file_that_is_none_is_wrong(tmp_path):
    paths = RunPaths(tmp_path, "shop")
    assert doctor.check_metadata(SqliteMetadata(), paths).mend is None
    paths.metadata.write_text("no database, and long enough to be looked at" * 100)
    finding = doctor.check_metadata(SqliteMetadata(), paths)
    assert finding.is_wrong
    assert str(paths.metadata) in finding.mend


def test_a_metadata_file_that_can_be_opened_is_right(tmp_path):
    paths = RunPaths(tmp_path, "shop")
    store = metadata_store_pb2.ConnectionConfig()
    store.sqlite.filename_uri = str(paths.metadata)
    MetadataStore(store)
    finding = doctor.check_metadata(SqliteMetadata(), paths)
    assert finding == Finding("metadata in SQLite", "holds 0 executions")


def test_a_metadata_server_that_is_not_there_is_wrong_and_the_password_stays_out(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("METADATA_PASSWORD", "secret-word")
    settings = MysqlMetadata(
        kind="mysql",
        host="127.0.0.1",
        port=1,
        database="records",
        user="shop",
        password_env="METADATA_PASSWORD",  # noqa: S106 - the name of a variable
    )
    finding = doctor.check_metadata(settings, RunPaths(tmp_path, "shop"))
    assert finding.is_wrong
    assert "127.0.0.1:1" in finding.subject
    assert "METADATA_PASSWORD" in finding.mend
    assert "secret-word" not in f"{finding}"


@pytest.mark.parametrize(("needed", "code"), [(True, 1), (False, 0)])
def test_only_what_is_needed_makes_the_doctor_fail(tmp_path, monkeypatch, capsys, needed, code):
    wrong = [Finding("TFX", "is None", "install it", needed)]
    monkeypatch.setattr(doctor, "_imports", lambda: wrong)
    monkeypatch.setattr(doctor, "_versions", list)
    assert doctor.diagnose(tmp_path) == code
    assert "TFX: install it" in capsys.readouterr().out


def test_this_environment_is_fit(tmp_path):
    program = [sys.executable, "-m", "taskroute.pipeline", "doctor", "--root", tmp_path]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    assert "import together" in ended.stdout
