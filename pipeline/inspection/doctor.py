"""`taskroute doctor`: state of this environment, and how to mend it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console

from taskroute.pipeline.inspection.plain_table import plain_table
from taskroute.pipeline.run.paths import RunPaths
from taskroute.schemas.metadata import Metadata, MysqlMetadata, SqliteMetadata

# Tested versions; a patch release may differ.
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
_PATIENCE_SECONDS = 20
_LOCKED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;]+)", re.MULTILINE)

# In processes of their own: a broken TensorFlow must not take the doctor with it.
_PROBE = """
import taskroute.models
import tensorflow as tf
import tf_keras
import tensorflow_recommenders
assert tf.keras.Model is tf_keras.Model, "TensorFlow's Keras is not Keras 2"
from tfx.components import ExampleValidator, StatisticsGen, Trainer, Transform
missing = [n for n, c in globals().items() if c is None and n[0].isupper()]
assert not missing, f"TFX could not import {missing}"
import taskroute.pipeline.kubeflow.compiler
print(len(tf.config.list_physical_devices("GPU")))
"""
_METADATA_PROBE = """
import sys
from pathlib import Path
from pydantic import TypeAdapter
from tfx.orchestration.metadata import Metadata
from taskroute.pipeline.dag.metadata import connection
from taskroute.schemas.metadata import Metadata as Settings
settings = TypeAdapter(Settings).validate_json(sys.argv[1])
with Metadata(connection(settings, Path(sys.argv[2]))) as handle:
    print(len(handle.store.get_executions()))
"""


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        subject: Subject of the check.
        state: State of the subject.
        mend: Remedy; None if the state is right.
        needed: True if a run on this machine needs it.
    """

    subject: str
    state: str
    mend: str | None = None
    needed: bool = True

    @property
    def is_wrong(self) -> bool:
        return self.mend is not None and self.needed


def diagnose(root: Path, name: str | None = None, metadata: Metadata | None = None) -> int:
    """Prints every finding; the exit code is 1 where something needed must be mended.

    Args:
        root: Pipeline root of the runs to come; may be missing.
        name: Name of the ranker, if there is a config.
        metadata: Metadata settings, `runtime.metadata` of the config.
    """
    console = Console(highlight=False)
    with console.status("importing TensorFlow and TFX (half a minute)"):
        findings = [
            *_versions(),
            check_lock(_lock_file()),
            *_imports(),
            *check_folder("pipeline root", root),
            *check_folder("temporary files", Path(tempfile.gettempdir())),
            check_metadata(metadata or SqliteMetadata(), RunPaths(root, name or "")),
            *_tools(),
        ]
    marks = {True: "[red]!![/red]", False: "[yellow] -[/yellow]"}
    table = plain_table("", "what", "found", texts=3)
    for finding in findings:
        mark = "[green]ok[/green]" if finding.mend is None else marks[finding.needed]
        table.add_row(mark, finding.subject, finding.state)
    console.print(table)
    for finding in sorted(findings, key=lambda finding: not finding.needed):
        if finding.mend is not None:
            color = "red" if finding.needed else "yellow"
            console.print(f"[{color}]{finding.subject}[/{color}]: {finding.mend}", soft_wrap=True)
    return int(any(finding.is_wrong for finding in findings))


def check_lock(lock: Path | None) -> Finding:
    """Compares what is installed with requirements.lock.

    A difference is a note: on glibc 2.39 and later other versions resolve and work, too.
    """
    subject = "requirements.lock"
    if lock is None:
        return Finding(subject, "not beside this environment: versions are compared as above")
    differ = []
    locked = _LOCKED.findall(lock.read_text(encoding="utf-8"))
    for package, wanted in locked:
        installed = _installed(package) or "missing"
        if installed != wanted:
            differ.append(f"{package} {installed}, not {wanted}")
    if not differ:
        return Finding(subject, f"all {len(locked)} packages are as it says")
    shown = "; ".join(differ[:3]) + ("; ..." if len(differ) > 3 else "")
    return Finding(
        subject, f"{len(differ)} of {len(locked)} differ: {shown}", _MEND_VERSION, needed=False
    )


def check_folder(subject: str, folder: Path) -> list[Finding]:
    """Checks that a folder, or its nearest parent that exists, can be written, has room and time.

    The clock of a network volume matters: the times of files decide which is newer.
    """
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.NamedTemporaryFile(dir=place) as file:
            skew = os.stat(file.name).st_mtime - time.time()
    except OSError as error:
        mend = "give --root a folder that can be written, or set TMPDIR"
        return [Finding(subject, f"{place}: {error.strerror}", mend)]
    free = shutil.disk_usage(place).free / 1e9
    roomy = Finding(
        subject,
        f"{place} can be written, {free:.0f} GB free",
        None if free > 5 else "a run needs about 5 GB: free some, or give --root another folder",
    )
    if abs(skew) < 5:
        return [roomy]
    state = f"files in {place} are {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} it"
    return [roomy, Finding("clock", state, "let both machines take their time from one NTP server")]


def check_metadata(settings: Metadata, paths: RunPaths) -> Finding:
    """Opens the metadata store, if it exists."""
    if isinstance(settings, MysqlMetadata):
        subject = f"metadata in MySQL at {settings.host}:{settings.port}"
        mend = (
            f"start the server, make the database {settings.database}, give it to {settings.user} "
            f"and set {settings.password_env}"
        )
    else:
        subject = "metadata in SQLite"
        mend = f"restore {paths.metadata}, or delete it: the next run then redoes every stage"
        if not paths.metadata.exists():
            return Finding(subject, "not there yet: the first run makes it")
    probe = _probe(_METADATA_PROBE, settings.model_dump_json(), str(paths.metadata))
    if probe.returncode:
        return Finding(subject, f"cannot be opened: {_last_line(probe)}", mend)
    return Finding(subject, f"holds {probe.stdout.split()[-1]} executions")


def _lock_file() -> Path | None:
    """Path of requirements.lock: beside the environment in an image, above it in a checkout."""
    environment = Path(sys.prefix)
    locks = [folder / "requirements.lock" for folder in (environment, environment.parent)]
    return next((lock for lock in locks if lock.is_file()), None)


def _versions() -> list[Finding]:
    is_311 = sys.version_info[:2] == (3, 11)
    findings = [
        Finding("Python", sys.version.split()[0], None if is_311 else "taskroute needs Python 3.11")
    ]
    for package, tested in _TESTED.items():
        installed = _installed(package)
        if installed is None:
            findings.append(Finding(package, "not installed", _MEND_VERSION))
        else:
            right = installed.startswith(tested)
            mend = None if right else f"tested with {tested}; {_MEND_VERSION}"
            findings.append(Finding(package, installed, mend))
    return findings


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _imports() -> list[Finding]:
    probe = _probe(_PROBE)
    subject = "TensorFlow, Keras 2, TFRS, TFX and KFP"
    if probe.returncode:
        return [Finding(subject, "do not import", f"{_last_line(probe)}; {_MEND_VERSION}")]
    return [Finding(subject, "import together"), check_gpu(int(probe.stdout.split()[-1]))]


def check_gpu(visible: int) -> Finding:
    """Compares the number of GPUs visible to TensorFlow with the driver's."""
    driver = shutil.which("nvidia-smi")
    present = len((_answer(driver, "--list-gpus") or "").splitlines()) if driver else 0
    mend = None
    if visible < present:
        mend = (
            "install what requirements-gpu.lock names, or use the image's target gpu; look at "
            "CUDA_VISIBLE_DEVICES"
        )
    state = f"{visible} visible to TensorFlow" + (f", {present} to the driver" if driver else "")
    return Finding("GPU", state, mend, needed=False)


def _tools() -> list[Finding]:
    """Checks the tools that only some ways of running need."""
    findings = []
    for tool, arguments, use in (
        ("docker", ("version", "--format", "{{.Server.Version}}"), "for TF Serving's image"),
        ("java", ("-version",), "for Beam on Flink or Spark"),
    ):
        path = shutil.which(tool)
        answer = _answer(path, *arguments) if path else None
        if answer is not None:
            findings.append(Finding(tool, answer.partition("\n")[0]))
            continue
        state = f"{path} does not answer" if path else "not here"
        mend = f"needed only {use}: install or start it there"
        findings.append(Finding(tool, state, mend, needed=False))
    host = os.environ.get("KFP_HOST")
    findings.append(Finding("KFP", f"submits to {host}" if host else "no KFP_HOST: give --host"))
    return findings


def _answer(*command: str) -> str | None:
    """Output of a program; None if it fails or takes long."""
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_PATIENCE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None
    return (ended.stdout.strip() or ended.stderr.strip()) if ended.returncode == 0 else None


def _probe(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )


def _last_line(probe: subprocess.CompletedProcess[str]) -> str:
    return (probe.stderr.strip().splitlines() or ["no message"])[-1]
