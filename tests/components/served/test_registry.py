"""The serving folder: what a server may see, and which version comes next."""

import json
import shutil
import signal
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from taskroute.components.served import registry
from taskroute.schemas.errors import UserError


@pytest.fixture
def model(tmp_path):
    source = tmp_path / "model"
    (source / "variables").mkdir(parents=True)
    (source / "assets").mkdir()
    (source / "saved_model.pb").write_bytes(b"graph")
    (source / "variables" / "variables.index").write_bytes(b"index")
    (source / "variables" / "variables.data-00000-of-00001").write_bytes(bytes(range(256)))
    return source


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "serving" / "demo"


def _content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def push_next(model, destination, keep_versions=20):
    """Pushes the model as another training would have left it."""
    (model / "saved_model.pb").write_bytes(uuid.uuid4().bytes)
    return registry.push(model, destination, "demo", keep_versions)


def test_the_first_push_is_version_1_and_holds_every_file(model, destination):
    assert push_next(model, destination) == 1
    assert registry.versions(destination) == (1,)
    assert _content(destination / "1") == _content(model)


def test_the_pointer_names_the_newest_version_and_when_it_came(model, destination):
    assert registry.latest(destination) is None
    before = datetime.now(UTC)
    push_next(model, destination)
    push_next(model, destination)
    pointer = registry.latest(destination)
    assert (pointer.model_name, pointer.version, pointer.path) == ("demo", 2, "2")
    assert (destination / pointer.path / "saved_model.pb").is_file()
    assert before <= pointer.pushed_at <= datetime.now(UTC)
    written = json.loads((destination / registry.POINTER_FILE).read_text())
    assert set(written) == {"model_name", "version", "path", "model_digest", "pushed_at"}
    assert written["pushed_at"].endswith("Z")


def test_the_model_that_serves_is_not_pushed_again(model, destination):
    assert registry.push(model, destination, "demo") == 1
    assert registry.push(model, destination, "demo") == 1
    assert registry.versions(destination) == (1,)


def test_the_model_that_serves_is_pushed_again_where_its_folder_is_gone(model, destination):
    registry.push(model, destination, "demo")
    shutil.rmtree(destination / "1")
    assert registry.push(model, destination, "demo") == 2


def test_versions_rise_past_9_by_number_and_not_by_name(model, destination):
    for expected in range(1, 12):
        assert push_next(model, destination) == expected
    assert registry.versions(destination) == tuple(range(1, 12))


def test_a_deleted_newest_version_is_not_used_again(model, destination):
    for _ in range(3):
        push_next(model, destination)
    shutil.rmtree(destination / "3")
    assert registry.versions(destination) == (1, 2)
    assert push_next(model, destination) == 4


def test_a_version_that_the_pointer_does_not_know_is_not_overwritten(model, destination):
    push_next(model, destination)
    (destination / "7").mkdir()
    assert push_next(model, destination) == 8
    assert list((destination / "7").iterdir()) == []


def test_what_is_no_version_is_left_alone(model, destination):
    (destination / "notes").mkdir(parents=True)
    (destination / "12").write_text("a file")
    assert registry.versions(destination) == ()
    assert push_next(model, destination) == 1
    assert (destination / "12").read_text() == "a file"


def test_there_are_no_versions_before_the_first_push(destination):
    assert registry.versions(destination) == ()


@pytest.mark.parametrize("failing_file", ["saved_model.pb", "variables.index"])
def test_a_copy_that_fails_leaves_what_serves_as_it_was(
    model, destination, monkeypatch, failing_file
):
    push_next(model, destination)
    before = _content(destination)
    copyfile = shutil.copyfile

    def copy_until_the_disk_is_full(source, target):
        assert registry.versions(destination) == (1,)
        if source.name == failing_file:
            raise OSError(28, "No space left on device", str(target))
        copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", copy_until_the_disk_is_full)
    with pytest.raises(UserError, match="No space left on device"):
        push_next(model, destination)
    assert _content(destination) == before
    monkeypatch.undo()
    assert push_next(model, destination) == 2


def test_a_version_appears_only_when_it_is_whole(model, destination, monkeypatch):
    seen = []
    copyfile = shutil.copyfile

    def look_and_copy(source, target):
        seen.append((registry.versions(destination), registry.latest(destination)))
        copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", look_and_copy)
    push_next(model, destination)
    assert seen == [((), None)] * 3


# The pushing process dies, as by SIGKILL, when it copies its second file.
_KILLED_PUSH = """
import os, shutil, sys
from taskroute.components.served import registry
copyfile, copied = shutil.copyfile, []
def copy_and_die(source, target):
    copyfile(source, target)
    copied.append(source)
    if len(copied) == 2:
        os._exit(9)
shutil.copyfile = copy_and_die
registry.push(sys.argv[1], sys.argv[2], "demo")
"""


def test_the_next_push_removes_what_a_killed_push_left(model, destination):
    push_next(model, destination)
    (model / "saved_model.pb").write_bytes(b"the next model")
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED_PUSH, str(model), str(destination)], check=False
    )
    assert killed.returncode == 9
    assert len(list(destination.glob(".incoming-*"))) == 1
    assert registry.versions(destination) == (1,)
    assert registry.latest(destination).version == 1
    (destination / ".incoming-pointer.json").write_text("{")

    assert push_next(model, destination) == 2
    assert list(destination.glob(".incoming-*")) == []


def test_a_push_during_a_push_is_refused_and_disturbs_nothing(model, destination, monkeypatch):
    refusals = []
    copyfile = shutil.copyfile

    def push_again_and_copy(source, target):
        with pytest.raises(UserError, match="another push to this folder is under way") as refusal:
            registry.push(model, destination, "demo")
        refusals.append(refusal)
        copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", push_again_and_copy)
    assert push_next(model, destination) == 1
    assert len(refusals) == 3
    assert registry.versions(destination) == (1,)
    assert _content(destination / "1") == _content(model)
    monkeypatch.undo()
    assert push_next(model, destination) == 2


def test_a_folder_without_a_saved_model_is_refused(tmp_path, destination):
    with pytest.raises(UserError, match=r"lacks saved_model\.pb"):
        registry.push(tmp_path, destination, "demo")
    assert not destination.exists()


def test_a_destination_that_is_a_file_is_named(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file: the model cannot be pushed: File exists"):
        registry.push(model, tmp_path / "file", "demo")


def test_a_pointer_that_cannot_be_understood_stops_the_push(model, destination):
    push_next(model, destination)
    (destination / registry.POINTER_FILE).write_text("3")
    with pytest.raises(UserError, match="does not say which version serves"):
        push_next(model, destination)
    assert registry.versions(destination) == (1,)


def test_the_newest_versions_are_kept(model, destination):
    for expected in range(1, 6):
        assert push_next(model, destination, keep_versions=3) == expected
    assert registry.versions(destination) == (3, 4, 5)
    assert not list(destination.glob(".removed-*"))
    with pytest.raises(ValueError, match="at least 1"):
        push_next(model, destination, keep_versions=0)


def test_a_rollback_lets_the_version_before_serve(model, destination):
    for _ in range(3):
        push_next(model, destination)
    before = _content(destination / "2")
    assert registry.rollback(destination) == (3, 2)
    pointer = registry.latest(destination)
    assert (pointer.version, pointer.path, pointer.model_name) == (2, "2", "demo")
    # A server takes the highest number: 3 must be out of its sight.
    assert registry.versions(destination) == (1, 2)
    assert _content(destination / "2") == before
    assert registry.rollback(destination) == (2, 1)
    with pytest.raises(UserError, match="version 1 is the only one left"):
        registry.rollback(destination)


def test_a_version_is_never_used_again_after_rollback_and_deletion(model, destination):
    for _ in range(3):
        push_next(model, destination)
    registry.rollback(destination)
    registry.rollback(destination)
    assert push_next(model, destination) == 4
    registry.rollback(destination)
    shutil.rmtree(destination / "1")
    (destination / registry.POINTER_FILE).unlink()
    assert registry.versions(destination) == ()
    assert push_next(model, destination) == 5


def test_a_model_that_was_rolled_back_is_not_pushed_again(model, destination):
    push_next(model, destination)
    push_next(model, destination)
    registry.rollback(destination)
    with pytest.raises(UserError, match="was version 2 and was rolled back"):
        registry.push(model, destination, "demo")
    assert registry.latest(destination).version == 1
    record = json.loads((destination / ".record.json").read_text())
    (destination / ".record.json").write_text(json.dumps(record | {"rolled_back": {}}))
    assert registry.push(model, destination, "demo") == 3


def test_a_rollback_before_the_first_push_is_refused(destination):
    with pytest.raises(UserError, match="nothing was pushed here"):
        registry.rollback(destination)
    assert not destination.exists()


@pytest.mark.parametrize("killed", ["push", "rollback"])
def test_a_rollback_ends_what_a_killed_change_began(model, destination, monkeypatch, killed):
    push_next(model, destination)
    if killed == "push":
        monkeypatch.setattr(registry, "_point_to", _die)
        with pytest.raises(KeyboardInterrupt):
            push_next(model, destination)
    else:
        push_next(model, destination)
        monkeypatch.setattr(registry, "_take_away", _die)
        with pytest.raises(KeyboardInterrupt):
            registry.rollback(destination)
    monkeypatch.undo()
    # A server sees 2; the pointer names 1.
    assert registry.versions(destination) == (1, 2)
    assert registry.latest(destination).version == 1
    assert registry.rollback(destination) == (2, 1)
    assert registry.versions(destination) == (1,)


def test_a_push_that_was_killed_before_its_pointer_is_finished_and_not_repeated(
    model, destination, monkeypatch
):
    push_next(model, destination)
    (model / "saved_model.pb").write_bytes(b"the next")
    with monkeypatch.context() as patched:
        patched.setattr(registry, "_point_to", _die)
        with pytest.raises(KeyboardInterrupt):
            registry.push(model, destination, "demo", 3)
    assert registry.push(model, destination, "demo", 3) == 2
    assert registry.latest(destination).version == 2
    assert registry.versions(destination) == (1, 2)


@pytest.fixture
def warm_start(tmp_path):
    folder = tmp_path / "WarmStart"
    folder.mkdir()
    (folder / "record.json").write_text("{}")
    return folder


def test_what_a_training_goes_on_from_is_kept_as_long_as_its_version(
    model, warm_start, destination
):
    for index in range(4):
        (model / "saved_model.pb").write_bytes(b"%d" % index)
        (warm_start / "record.json").write_text(f"{index}")
        registry.push(model, destination, "demo", 2, warm_start)
    assert registry.versions(destination) == (3, 4)
    assert set(registry.warm_starts(destination)) == {3, 4}
    folder = registry.warm_start_of_latest(destination)
    assert (Path(folder) / "record.json").read_text() == "3"
    assert Path(folder).parent.name.startswith(".")
    registry.rollback(destination)
    assert registry.warm_start_of_latest(destination).endswith("/3")
    # Of the version that was rolled back it stays, to be recognised, until the next push.
    assert set(registry.warm_starts(destination)) == {3, 4}
    push_next(model, destination)
    assert set(registry.warm_starts(destination)) == {3}
    assert registry.warm_start_of_latest(destination) is None


def test_a_model_may_come_without_anything_to_go_on_from(model, tmp_path, destination):
    registry.push(model, destination, "demo", 2, tmp_path / "nothing")
    assert registry.versions(destination) == (1,)
    assert registry.warm_starts(destination) == {}
    assert registry.warm_start_of_latest(tmp_path / "nowhere") is None


def _die(*arguments, **more):
    raise KeyboardInterrupt


def test_a_record_that_cannot_be_understood_stops_the_push(model, destination):
    push_next(model, destination)
    (destination / ".record.json").write_text("[]")
    with pytest.raises(UserError, match="does not say which versions were used"):
        push_next(model, destination)
    assert registry.versions(destination) == (1,)


# Pushes models in turn until it is killed.
_PUSH_FOR_EVER = """
import itertools, sys
from taskroute.components.served import registry
print("ready", flush=True)
for source in itertools.cycle(sys.argv[2:]):
    registry.push(source, sys.argv[1], "demo", 3)
"""


def test_a_push_killed_at_any_moment_leaves_only_whole_versions(model, tmp_path, destination):
    sources = []
    for index in range(2):
        source = tmp_path / f"source-{index}"
        shutil.copytree(model, source)
        (source / "saved_model.pb").write_bytes(b"graph %d" % index)
        (source / "variables" / "more").write_bytes(bytes([index]) * 4_000_000)
        sources.append(source)
    whole = [_content(source) for source in sources]
    random = np.random.default_rng(1)
    highest = 0
    for _ in range(20):
        program = [sys.executable, "-c", _PUSH_FOR_EVER, str(destination), *map(str, sources)]
        with subprocess.Popen(program, stdout=subprocess.PIPE) as pushing:
            pushing.stdout.readline()
            time.sleep(random.uniform(0, 0.1))
            pushing.send_signal(signal.SIGKILL)
        held = registry.versions(destination)
        for version in held:
            assert _content(destination / str(version)) in whole
        pointer = registry.latest(destination)
        assert pointer is None or pointer.version in held
        assert max(held, default=0) >= highest
        highest = max(held, default=0)
    assert highest > 2
    assert push_next(model, destination) > highest
    assert not list(destination.glob(".incoming-*"))
