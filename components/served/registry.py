"""Serving folder: numbered versions of one model and a pointer to the served version.

    <destination>/7/               a SavedModel; TensorFlow Serving sees a whole one or none
    <destination>/LATEST_BLESSED.json
    <destination>/.record.json     the last version ever used, and models that were rolled back
    <destination>/.lock            locked by the push or rollback that is under way
    <destination>/.warm_start/7/   files to warm-start a training from version 7; kept as long as it

A version is copied beside its place, synced to disk and renamed into it; the pointer follows. A
version is removed by a rename, too. A server that watches the folder serves the highest number, so
a rollback removes the versions above its target. Servers ignore names that begin with a dot; the
next push removes leftovers under such names.
"""

import contextlib
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
from taskroute.schemas.locks import locked
from taskroute.schemas.whole_files import sync, write_whole

POINTER_FILE = "LATEST_BLESSED.json"
_RECORD_FILE = ".record.json"
_LOCK_FILE = ".lock"
_INCOMING = ".incoming-"
_REMOVED = ".removed-"
_WARM_START = ".warm_start"


class Pointer(Config):
    """Served version; `path` is relative to the destination, `pushed_at` is in UTC."""

    model_name: str
    version: NonNegativeInt
    path: str
    model_digest: str
    pushed_at: AwareDatetime


class _Record(Config):
    """Record of removed versions.

    Attributes:
        last_version: Highest version ever used.
        rolled_back: Versions of the models that were rolled back, by digest.
    """

    last_version: NonNegativeInt = 0
    rolled_back: dict[str, NonNegativeInt] = {}


def push(
    source_dir: str | Path,
    destination: str | Path,
    model_name: str,
    keep_versions: int = 5,
    warm_start: str | Path | None = None,
) -> int:
    """Copies a SavedModel to the destination as its newest version and points to it.

    The served model is not pushed again: its version is returned.

    Args:
        source_dir: SavedModel to push.
        destination: Local folder of one model's versions; made if missing.
        model_name: Name under which it is served, written into the pointer.
        keep_versions: Number of newest versions to keep, at least 1.
        warm_start: Folder to warm-start a training from this model, if any.

    Returns:
        Version number: one more than any that the destination ever had, 1 at first.

    Raises:
        UserError: If `source_dir` is no SavedModel or was rolled back, another push is under way,
            pointer or record cannot be understood, or the files cannot be written.
    """
    if keep_versions < 1:
        raise ValueError(f"`keep_versions` must be at least 1. Received: {keep_versions}")
    source, destination = Path(source_dir), Path(destination)
    if not (source / "saved_model.pb").is_file():
        raise UserError(f"{source}: is no SavedModel, it lacks saved_model.pb; train again")
    with _changing(destination, "pushed"), _locked(destination):
        _remove_leftovers(destination)
        digest = _digest(source)
        serving, record = latest(destination), _read_record(destination)
        if digest in record.rolled_back:
            raise UserError(
                f"{source}: this model was version {record.rolled_back[digest]} and was rolled "
                f"back; train another, or take it out of {destination / _RECORD_FILE}"
            )
        existing = versions(destination)
        if serving and serving.model_digest == digest and serving.version in existing:
            return serving.version
        pointed = serving.version if serving else 0
        # A push that was killed between the version and the pointer is finished.
        if (
            existing
            and existing[-1] > pointed
            and _digest(destination / str(existing[-1])) == digest
        ):
            version = existing[-1]
        else:
            version = max((*existing, pointed, record.last_version)) + 1
            with _copied(source, destination) as copy:
                # Written before the version appears: whatever happens next, its number is used.
                used = record.model_copy(update={"last_version": version})
                _replace(destination / _RECORD_FILE, used)
                if warm_start is not None and Path(warm_start).is_dir():
                    _copy_warm_start(Path(warm_start), destination, version)
                os.rename(copy, destination / str(version))
            sync(destination)
        _point_to(destination, model_name, version, digest)
        for old in versions(destination)[:-keep_versions]:
            _take_away(destination / str(old))
        _prune_warm_starts(destination)
    return version


def rollback(destination: str | Path) -> tuple[int, int]:
    """Serves the version before the served one again.

    Versions above it are removed: a server would go on with them. The model that is rolled back is
    not pushed again.

    Args:
        destination: Local folder of one model's versions.

    Returns:
        Version that was served, and version that is served now.

    Raises:
        UserError: If nothing serves or nothing is left to go back to, a push is under way, pointer
            or record cannot be understood, or the files cannot be written.
    """
    destination = Path(destination)
    with _changing(destination, "rolled back"):
        pointer = latest(destination)
        if pointer is None:
            raise UserError(
                f"{destination}: nothing was pushed here, so nothing can be rolled back"
            )
        with _locked(destination):
            pointer = latest(destination) or pointer
            existing = versions(destination)
            serves = max((*existing, pointer.version))
            # A push or rollback that was killed left a higher version than the pointer names.
            unfinished = serves > pointer.version and pointer.version in existing
            below = [version for version in existing if version < pointer.version]
            if not unfinished and not below:
                raise UserError(
                    f"{destination}: version {pointer.version} is the only one left; train another"
                )
            target = pointer.version if unfinished else below[-1]
            above = [version for version in existing if version > target]
            record = _read_record(destination)
            gone = {_digest(destination / str(version)): version for version in above}
            target_digest = _digest(destination / str(target))
            gone.pop(target_digest, None)
            update = {
                "last_version": max(record.last_version, serves),
                "rolled_back": record.rolled_back | gone,
            }
            _replace(destination / _RECORD_FILE, record.model_copy(update=update))
            if not unfinished:
                _point_to(destination, pointer.model_name, target, target_digest)
            for version in reversed(above):
                _take_away(destination / str(version), keep=True)
    return serves, target


def versions(destination: str | Path) -> tuple[int, ...]:
    """Versions in the destination, ascending."""
    try:
        names = [entry.name for entry in os.scandir(destination) if entry.is_dir()]
    except FileNotFoundError:
        return ()
    return tuple(sorted(int(name) for name in names if name.isascii() and name.isdecimal()))


def latest(destination: str | Path) -> Pointer | None:
    """Served version; None where nothing was pushed yet.

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


def warm_starts(destination: str | Path) -> dict[int, Path]:
    """Folders to warm-start from, by version; also of versions that were rolled back since."""
    folders = Path(destination, _WARM_START).glob("[0-9]*")
    return {int(folder.name): folder for folder in folders if folder.name.isdecimal()}


def warm_start_of_latest(destination: str | Path) -> str | None:
    """Folder to warm-start from the served version; None where there is none.

    Raises:
        UserError: If the pointer cannot be understood.
    """
    pointer = latest(destination)
    folder = None if pointer is None else warm_starts(destination).get(pointer.version)
    return None if folder is None else str(folder)


def _locked(destination: Path) -> contextlib.AbstractContextManager[None]:
    return locked(
        destination / _LOCK_FILE,
        lambda _: UserError(
            f"{destination}: another push to this folder is under way; push again when it has ended"
        ),
    )


@contextlib.contextmanager
def _changing(destination: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or destination}: the model cannot be {done}: {error.strerror}; "
            "call again once that is mended"
        ) from error


def _remove_leftovers(destination: Path) -> None:
    for prefix in (_INCOMING, _REMOVED):
        for path in destination.glob(f"{prefix}*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _copy_warm_start(source: Path, destination: Path, version: int) -> None:
    target = destination / _WARM_START / str(version)
    target.parent.mkdir(exist_ok=True)
    with _copied(source, destination) as copy:
        os.rename(copy, target)
    sync(target.parent)


def _prune_warm_starts(destination: Path) -> None:
    existing = versions(destination)
    for version, folder in warm_starts(destination).items():
        if version not in existing:
            shutil.rmtree(folder)


def _take_away(version: Path, keep: bool = False) -> None:
    """Removes a version at once for servers; `keep` leaves its files to the next push."""
    removed = version.with_name(f"{_REMOVED}{version.name}-{uuid.uuid4().hex}")
    os.rename(version, removed)
    sync(version.parent)
    if not keep:
        shutil.rmtree(removed)


def _read_record(destination: Path) -> _Record:
    path = destination / _RECORD_FILE
    try:
        return _Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _Record()
    except ValidationError:
        raise UserError(
            f"{path}: does not say which versions were used; restore the file or delete it"
        ) from None


@contextlib.contextmanager
def _copied(source: Path, destination: Path) -> Iterator[Path]:
    """Yields a synced copy that no server sees, for the caller to rename; removes it on failure."""
    copy = destination / f"{_INCOMING}{uuid.uuid4().hex}"
    try:
        _copy_synced(source, copy)
        yield copy
    except BaseException:
        shutil.rmtree(copy, ignore_errors=True)
        raise


def _copy_synced(source: Path, target: Path) -> None:
    target.mkdir()
    for entry in sorted(source.iterdir()):
        copy = target / entry.name
        if entry.is_dir():
            _copy_synced(entry, copy)
        else:
            shutil.copyfile(entry, copy)
            sync(copy)
    sync(target)


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
    _replace(destination / POINTER_FILE, pointer)


def _replace(path: Path, content: Config) -> None:
    write_whole(path, content.model_dump_json(indent=2) + "\n")
