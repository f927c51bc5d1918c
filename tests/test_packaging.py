"""Installed package: one import root, one command, the right environment."""

import os
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    tracked = ("schemas", "models", "components", "pipeline", "examples")
    for name in (*tracked, "setup.py", "pyproject.toml", "README.md"):
        os.symlink(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, source],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_adds_one_name_to_site_packages(wheel):
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"taskroute"}


def test_the_wheel_holds_every_module_and_the_examples(wheel):
    shipped = set(wheel.namelist())
    for folder in ("schemas", "models", "components", "pipeline"):
        for path in (ROOT / folder).rglob("*.py"):
            assert f"taskroute/{path.relative_to(ROOT).as_posix()}" in shipped
    assert "taskroute/examples/demo.yaml" in shipped
    assert {"page.html", "page.css"} <= {
        name.removeprefix("taskroute/components/report/") for name in shipped
    }


def test_examples_are_found_where_the_package_is_installed():
    assert (files("taskroute.examples") / "demo.yaml").is_file()


@pytest.mark.parametrize("package", ["models", "components", "pipeline"])
def test_importing_a_package_asks_for_keras_2_before_tensorflow(package):
    program = (
        f"import os, sys; import taskroute.{package}; "
        "assert os.environ['TF_USE_LEGACY_KERAS'] == '1'; assert 'tensorflow' not in sys.modules"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_the_lock_names_no_index():
    assert "://" not in (ROOT / "requirements.lock").read_text()
