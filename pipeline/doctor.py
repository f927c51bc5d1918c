"""`taskroute doctor`: what is installed, what is wrong, how to mend it."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

# What the pipeline was tested with; a patch release may differ.
_TESTED = {
    "tensorflow": "2.21",
    "tf-keras": "2.21",
    "tensorflow-recommenders": "0.7.7",
    "tfx": "1.21",
    "tensorflow-transform": "1.21",
    "apache-beam": "2.77",
    "kfp": "2.16",
    "protobuf": "6.",
    "pyarrow": "18.",
    "numpy": "2.",
}
_MEND_VERSION = "make setup installs what requirements.lock names"

# In a process of its own: a broken TensorFlow must not take the doctor with it.
_PROBE = """
import taskroute.models
import tensorflow as tf
import tf_keras
import tensorflow_recommenders
assert tf.keras.Model is tf_keras.Model, "TensorFlow's Keras is not Keras 2"
from tfx.components import ExampleValidator, StatisticsGen, Trainer, Transform
missing = [n for n, c in globals().items() if c is None and n[0].isupper()]
assert not missing, f"TFX could not import {missing}"
print(len(tf.config.list_physical_devices("GPU")))
"""


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `mend` says what to do where it is not right."""

    subject: str
    found: str
    mend: str | None = None


def diagnose() -> int:
    """Prints every finding; the exit code is 1 where something must be mended."""
    console = Console(highlight=False)
    with console.status("importing TensorFlow and TFX (half a minute)"):
        findings = [*_versions(), *_imports(), *_machine()]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("", "what", "found"):
        table.add_column(header)
    for finding in findings:
        mark = "[green]ok[/green]" if finding.mend is None else "[red]!![/red]"
        table.add_row(mark, finding.subject, finding.found)
    console.print(table)
    wrong = [finding for finding in findings if finding.mend is not None]
    for finding in wrong:
        console.print(f"[red]{finding.subject}[/red]: {finding.mend}", soft_wrap=True)
    return 1 if wrong else 0


def _versions() -> list[Finding]:
    is_311 = sys.version_info[:2] == (3, 11)
    findings = [
        Finding("Python", sys.version.split()[0], None if is_311 else "taskroute needs Python 3.11")
    ]
    for package, tested in _TESTED.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            findings.append(Finding(package, "not installed", _MEND_VERSION))
            continue
        right = found.startswith(tested)
        mend = None if right else f"tested with {tested}; {_MEND_VERSION}"
        findings.append(Finding(package, found, mend))
    return findings


def _imports() -> list[Finding]:
    probe = subprocess.run(
        [sys.executable, "-c", _PROBE], capture_output=True, text=True, check=False
    )
    subject = "TensorFlow, Keras 2, TFRS and TFX"
    if probe.returncode:
        last = (probe.stderr.strip().splitlines() or ["no message"])[-1]
        return [Finding(subject, "do not import", f"{last}; {_MEND_VERSION}")]
    gpus = int(probe.stdout.split()[-1])
    return [Finding(subject, "import together"), Finding("GPU", f"{gpus} visible to TensorFlow")]


def _machine() -> list[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    writable = os.access(Path.cwd(), os.W_OK)
    return [
        Finding("disk", f"{free:.0f} GB free here", None if free > 5 else "a run needs about 5 GB"),
        Finding(
            "folder",
            str(Path.cwd()) + (" is writable" if writable else " is read-only"),
            None if writable else "give --root a folder that can be written",
        ),
        *(
            Finding(tool, shutil.which(tool) or f"not here: {use}")
            for tool, use in (
                ("docker", "needed only for TF Serving's image"),
                ("java", "needed only for Beam on Flink or Spark"),
            )
        ),
    ]
