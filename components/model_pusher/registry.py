"""The serving folder: numbered versions of one model and a pointer to the one that serves.

    <destination>/7/               a SavedModel; TensorFlow Serving sees a whole one or none
    <destination>/LATEST_BLESSED.json
    <destination>/.lock            held by the push that is under way

A version is copied beside its place, synced to disk and renamed into it. What a killed push left
is named `.incoming-*`, which servers ignore and the next push removes.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, NonNegativeInt, ValidationError

from taskroute.schemas.base import Config
from taskroute.schemas.errors import UserError

POINTER_FILE = "LATEST_BLESSED.json"
_LOCK_FILE = ".lock"
_INCOMING = ".incoming-"


class Pointer(Config):
    """The version that serves; `path` is relative to the destination, `pushed_at` is in UTC."""

    model_name: str
    version: NonNegativeInt
    path: str
    model_digest: str
    pushed_at: AwareDatetime


def push(source_dir: str | Path, destination: str | Path, model_name: str) -> int:
    """Copies a SavedModel to the destination as its newest version and points to it.

    The model that serves already is not pushed again: its version is given back.

    Args:
        source_dir: A SavedModel.
        destination: Local folder of one model's versions; made where it lacks.
        model_name: Name under which it is served, written into the pointer.

    Returns:
        The version: one more than any that the destination has or points to, 1 at first.

    Raises:
        UserError: If `source_dir` is no SavedModel, another push is under way, the pointer cannot
            be understood, or the files cannot be written.
    """
    source, destination = Path(source_dir), Path(destination)
    if not (source / "saved_model.pb").is_file():
        raise UserError(f"{source}: is no SavedModel, it lacks saved_model.pb; train again")
    try:
        destination.mkdir(parents=True, exist_ok=True)
        with _locked(destination):
            _remove_incoming(destination)
            digest = _digest(source)
            serving = latest(destination)
            if (
                serving is not None
                and serving.model_digest == digest
                and serving.version in versions(destination)
            ):
                return serving.version
            version = _next_version(destination)
            _publish(source, destination / str(version))
            _point_to(destination, model_name, version, digest)
    except OSError as error:
        raise UserError(
            f"{error.filename or destination}: the model cannot be pushed: {error.strerror}; "
            "push again once that is mended"
        ) from error
    return version


def versions(destination: str | Path) -> tuple[int, ...]:
    """Versions in the destination, rising."""
    try:
        names = [entry.name for entry in os.scandir(destination) if entry.is_dir()]
    except FileNotFoundError:
        return ()
    return tuple(sorted(int(name) for name in names if name.isascii() and name.isdecimal()))


def latest(destination: str | Path) -> Pointer | None:
    """The version that serves; None where nothing was pushed yet.

    Raises:
        UserError: If the pointer cannot be understood.
    """
    path = Path(destination, POINTER_FILE)
    try:
        return Pointer.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise UserError(
            f"{path}: does not say which version serves; restore the file or delete it"
        ) from None


@contextlib.contextmanager
def _locked(destination: Path) -> Iterator[None]:
    # The lock belongs to the open file: it ends with the process, however that ends.
    with open(destination / _LOCK_FILE, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{destination}: another push to this folder is under way; push again when it "
                "has ended"
            ) from None
        yield


def _remove_incoming(destination: Path) -> None:
    for path in destination.glob(f"{_INCOMING}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _next_version(destination: Path) -> int:
    pointer = latest(destination)
    return max((*versions(destination), pointer.version if pointer else 0), default=0) + 1


def _publish(source: Path, target: Path) -> None:
    incoming = target.with_name(f"{_INCOMING}{uuid.uuid4().hex}")
    try:
        _copy_synced(source, incoming)
        os.rename(incoming, target)
    except BaseException:
        shutil.rmtree(incoming, ignore_errors=True)
        raise
    _sync(target.parent)


def _copy_synced(source: Path, target: Path) -> None:
    target.mkdir()
    for entry in sorted(source.iterdir()):
        copy = target / entry.name
        if entry.is_dir():
            _copy_synced(entry, copy)
        else:
            shutil.copyfile(entry, copy)
            _sync(copy)
    _sync(target)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _point_to(destination: Path, model_name: str, version: int, digest: str) -> None:
    pointer = Pointer(
        model_name=model_name,
        version=version,
        path=str(version),
        model_digest=digest,
        pushed_at=datetime.now(UTC),
    )
    incoming = destination / f"{_INCOMING}{uuid.uuid4().hex}.json"
    incoming.write_text(pointer.model_dump_json(indent=2) + "\n", encoding="utf-8")
    _sync(incoming)
    os.replace(incoming, destination / POINTER_FILE)
    _sync(destination)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
