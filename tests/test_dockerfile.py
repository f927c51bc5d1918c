"""The image, as far as it can be judged where no engine builds it."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from taskroute.schemas.environment import REQUIRED

ROOT = Path(__file__).parents[1]
FINAL = ("cpu", "gpu")


def instructions():
    """(word, arguments) of each instruction."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.strip()]
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in joined]


def stages():
    """Name of a stage to (what it is from, its instructions)."""
    found = {}
    for word, arguments in instructions():
        if word == "FROM":
            origin, _, name = arguments.partition(" AS ")
            assert name, f"{origin}: give the stage a name"
            found[name] = (origin, [])
        else:
            found[name][1].append((word, arguments))
    return found


def copied():
    """Files and folders of the repository that go into the image."""
    return [
        source
        for word, arguments in instructions()
        if word == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    ]


def of_stage(name, word):
    """Arguments of a word in a stage and in those below it, from the bottom up."""
    origin, own = stages()[name]
    below = of_stage(origin, word) if origin in stages() else []
    return below + [arguments for found, arguments in own if found == word]


def test_every_stage_starts_from_another_or_from_an_exact_version():
    known = []
    for name, (origin, own) in stages().items():
        assert origin in known or re.search(r":\d+\.\d+\.\d+[\w.-]*$|@sha256:\w{64}$", origin), name
        for word, arguments in own:
            for source in re.findall(r"--from=(\S+)", arguments) if word == "COPY" else ():
                assert source in known, f"{name} copies from {source}"
        known.append(name)
    assert set(FINAL) <= set(known)


@pytest.mark.parametrize("name", FINAL)
def test_the_image_runs_as_a_number_that_is_not_root(name):
    number = re.fullmatch(r"(\d+)(:\d+)?", of_stage(name, "USER")[-1])
    assert int(number[1]) > 0


@pytest.mark.parametrize("name", FINAL)
def test_the_image_sets_what_tensorflow_must_find(name):
    text = " ".join(of_stage(name, "ENV"))
    for variable, value in REQUIRED.items():
        assert f"{variable}={value}" in text
    assert "PATH=/opt/taskroute/bin:" in text


@pytest.mark.parametrize("name", FINAL)
def test_an_image_that_the_doctor_finds_wrong_is_not_built(name):
    assert '["taskroute", "doctor"]' in of_stage(name, "RUN")


def test_what_is_copied_exists_and_is_let_through():
    allowed = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    assert sorted(copied()) == sorted(allowed)
    for source in copied():
        assert (ROOT / source).exists(), source


def test_only_locked_packages_are_installed_and_no_address_is_named():
    text = (ROOT / "Dockerfile").read_text()
    installs = re.findall(r"pip install (.*?)(?:&&|$)", text.replace("\\\n", " "), re.MULTILINE)
    assert len(installs) == 3
    for install in installs:
        assert "--no-deps" in install
        assert "--require-hashes -r " in re.sub(" +", " ", install) or install.rstrip().endswith(
            "."
        )
    assert "://" not in text
    assert "index" not in text


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-gpu.lock"])
def test_every_locked_package_has_a_hash(lock):
    text = (ROOT / lock).read_text()
    assert "://" not in re.sub(r"#.*", "", text)
    for block in re.split(r"\n(?=\S)", text):
        if "==" in block.splitlines()[0]:
            assert "--hash=sha256:" in block, block


def test_the_cuda_libraries_are_those_that_tensorflow_asks_for():
    locked = dict(re.findall(r"^(\S+)==(\S+)", (ROOT / "requirements-gpu.lock").read_text(), re.M))
    asked = [Requirement(line) for line in requires("tensorflow") if "and-cuda" in line]
    assert {requirement.name for requirement in asked} == set(locked)
    for requirement in asked:
        assert requirement.specifier.contains(locked[requirement.name]), requirement


def test_what_is_copied_is_enough_to_install_the_package(tmp_path):
    for source in copied():
        if (ROOT / source).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / source, tmp_path / source, ignore=ignore)
        else:
            shutil.copy(ROOT / source, tmp_path / source)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "wheel", "."],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "wheel").iterdir()
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in ("pipeline/kubeflow/entrypoint.py", "models/trainer.py", "examples/demo.yaml"):
        assert f"taskroute/{file}" in names


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).parent / "hadolint"
    ended = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout
