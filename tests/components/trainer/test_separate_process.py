"""Training in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from taskroute.components.trainer import separate_process
from taskroute.schemas.errors import DataError

# A module whose `run_fn` writes its arguments, and whose `stall` ends only by force.
_TRAINER = """
import json, pathlib, time

def run_fn(fn_args):
    folder = pathlib.Path(fn_args.model_run_dir)
    (folder / "arguments.json").write_text(json.dumps(vars(fn_args)))

def fail(fn_args):
    raise SystemExit(7)

def refuse(fn_args):
    from taskroute.schemas.errors import DataError
    raise DataError("the loss of task 'watch' is no number")

def stall(fn_args):
    (pathlib.Path(fn_args.model_run_dir) / "began").touch()
    time.sleep(60)
"""


@pytest.fixture
def fn_args(tmp_path, monkeypatch):
    (tmp_path / "trainer_of_a_test.py").write_text(_TRAINER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(function):
        options = {
            "run_fn": f"trainer_of_a_test.{function}",
            "job": str(tmp_path / "training" / separate_process.JOB_FILE),
        }
        return SimpleNamespace(
            train_files=["a"],
            eval_files=["b"],
            transform_graph_path="c",
            serving_model_dir="d",
            model_run_dir=str(tmp_path),
            hyperparameters=None,
            custom_config={"separate_process": options},
            something_else=object(),
        )

    return make


def test_the_function_is_called_in_another_process_with_what_it_needs(fn_args, tmp_path):
    separate_process.run_fn(fn_args("run_fn"))
    arguments = json.loads((tmp_path / "arguments.json").read_text())
    assert (arguments["train_files"], arguments["transform_graph_path"]) == (["a"], "c")
    assert not list((tmp_path / "training").iterdir())


def test_its_failure_is_the_stages(fn_args, tmp_path):
    with pytest.raises(RuntimeError, match="ended with 7"):
        separate_process.run_fn(fn_args("fail"))
    assert not list((tmp_path / "training").iterdir())


def test_a_sentence_for_the_user_is_passed_on(fn_args, tmp_path):
    with pytest.raises(DataError, match=r"^the loss of task 'watch' is no number$"):
        separate_process.run_fn(fn_args("refuse"))
    assert not list((tmp_path / "training").iterdir())


def test_a_worker_that_comes_early_waits_for_the_job(fn_args, tmp_path):
    job = tmp_path / "training" / separate_process.JOB_FILE
    worker = subprocess.Popen([sys.executable, "-m", separate_process.__name__, str(job)])
    time.sleep(1)
    assert worker.poll() is None
    job.parent.mkdir()
    beside = job.with_suffix(".tmp")
    fields = {name: getattr(fn_args("run_fn"), name) for name in separate_process._FIELDS}
    beside.write_text(json.dumps(fields))
    os.replace(beside, job)
    assert worker.wait(timeout=60) == 0
    assert (tmp_path / "arguments.json").exists()


def test_it_ends_with_the_process_that_started_it(fn_args, tmp_path):
    job = tmp_path / "job.json"
    fields = {name: getattr(fn_args("stall"), name) for name in separate_process._FIELDS}
    job.write_text(json.dumps(fields))
    program = f"""
import os, subprocess, sys
worker = subprocess.Popen(
    [sys.executable, "-m", {separate_process.__name__!r}, {str(job)!r}, str(os.getpid())]
)
print(worker.pid, flush=True)
worker.wait()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        worker = int(parent.stdout.readline())
        deadline = time.monotonic() + 60
        while not (tmp_path / "began").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while _runs(worker):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _runs(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
