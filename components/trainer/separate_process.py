"""Trains in a process of its own: the chief of a cluster, or one that has the GPUs to itself.

TensorFlow joins a cluster only before it has run anything, so the stages' own process cannot. The
chief's stage writes a job, a JSON file with the arguments of the training; each of the other
workers is started by hand, or by the cluster's scheduler, with its own `TF_CONFIG`:

    python -m taskroute.components.trainer.separate_process ROOT/training/job.json

A worker waits for the job, trains along and ends with it. All workers must see the same files.
"""

import importlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from taskroute.schemas import environment
from taskroute.schemas.errors import ConfigError, DataError, UserError
from taskroute.schemas.whole_files import write_whole

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

JOB_FILE = "job.json"
_KINDS = {kind.exit_code: kind for kind in (UserError, ConfigError, DataError)}
_FIELDS = (
    "train_files",
    "eval_files",
    "transform_graph_path",
    "serving_model_dir",
    "model_run_dir",
    "hyperparameters",
    "custom_config",
)


def run_fn(fn_args: "FnArgs") -> None:
    """Calls the `run_fn` that `custom_config` names in another process.

    Args:
        fn_args: Arguments of the training; `separate_process` in `custom_config` holds `run_fn`, a
            dotted path, and `job`, a file.

    Raises:
        UserError: If the other process ends with one; its own kind.
        RuntimeError: If the other process fails.
    """
    job = Path(fn_args.custom_config["separate_process"]["job"])
    write_whole(job, json.dumps({name: getattr(fn_args, name) for name in _FIELDS}))
    try:
        program = [sys.executable, "-m", __name__, str(job), str(os.getpid())]
        code = subprocess.run(program, check=False).returncode
    finally:
        job.unlink()
    sentence = _sentence_file(job)
    if code in _KINDS and sentence.exists():
        error = _KINDS[code](sentence.read_text())
        sentence.unlink()
        raise error
    if code:
        raise RuntimeError(f"the training's process ended with {code}; see the log")


def work(job: Path, parent: int | None = None) -> None:
    """Waits for a job and runs its training.

    Args:
        job: File of the job.
        parent: Process to end with: left alone, this one would train on and write beside the next
            run's training.
    """
    environment.prepare()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    while not job.exists():
        time.sleep(0.5)
    fn_args = SimpleNamespace(**json.loads(job.read_text()))
    module, _, name = fn_args.custom_config["separate_process"]["run_fn"].rpartition(".")
    try:
        getattr(importlib.import_module(module), name)(fn_args)
    except UserError as error:
        if parent is not None:
            write_whole(_sentence_file(job), str(error))
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def _sentence_file(job: Path) -> Path:
    return job.with_suffix(".error.txt")


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    work(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
