"""A pipeline root of version 0.1.0 goes on: it serves, retrains, and rolls back.

fixtures/root_of_0_1_0.tar.xz was made by 0.1.0: a log of four days, its config, and a root after
two retrainings (days two and three), with its artifacts, metadata and both served versions.
"""

import json
import sqlite3
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from taskroute.components.served import registry
from taskroute.pipeline.cli.main import cli
from taskroute.pipeline.server.served_model import find_model

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FIXTURE = Path(__file__).parents[1] / "fixtures" / "root_of_0_1_0.tar.xz"
MADE_AT = "/srv/feed"
LAST_DAY = "2026-01-08"
REQUEST = {
    "user_id": ["u1", ""],
    "item_id": ["i2", "never seen"],
    "category": ["film", ""],
    "position": [1.0, float("nan")],
}
# Version 2, as 0.1.0 scored REQUEST.
CLICK = [0.11884414, 0.09629492]


class World:
    """The config, the log and the pipeline root, unpacked; tests go on with it in their order."""

    def __init__(self, folder):
        with tarfile.open(FIXTURE) as archive:
            archive.extractall(folder, filter="data")
        self.folder = folder / "feed"
        self.root = self.folder / "root"
        self.serving = self.root / "serving" / "feed"
        # A root keeps absolute paths; an upgrade does not move it.
        with sqlite3.connect(self.root / "metadata.sqlite") as database:
            database.execute(
                "UPDATE Artifact SET uri = replace(uri, ?, ?)", (MADE_AT, str(self.folder))
            )

    def call(self, *arguments):
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    @property
    def version(self):
        return registry.latest(self.serving).version

    def click(self, version):
        model = tf.saved_model.load(str(self.serving / str(version)))
        row = {name: tf.constant(values) for name, values in REQUEST.items()}
        return model.signatures["raw_features"](**row)["click"].numpy().reshape(-1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


def test_the_served_model_is_understood_and_serves(world):
    model = find_model(world.serving)
    assert (model.version, model.info.name) == (2, "feed")
    checked = world.call("serve-check", world.serving / "2")
    assert checked.exit_code == 0, checked.output
    np.testing.assert_allclose(world.click(2), CLICK, rtol=1e-6)


def test_the_record_of_the_last_run_makes_a_page(world, tmp_path):
    made = world.call("report", world.root / "last_run.json", "-o", tmp_path / "report.html")
    assert made.exit_code == 0, made.output
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "version 2" in page
    assert "DayMonitor" in page


def test_the_next_day_goes_on_from_the_served_version_and_is_compared_with_it(world):
    config = world.folder / "feed.yaml"
    ended = world.call("retrain", config, "--root", world.root, "--span", LAST_DAY)
    assert ended.exit_code == 0, ended.output
    verdict = json.loads(ended.stdout.splitlines()[-1])
    assert (verdict["outcome"], verdict["version"]) == ("pushed", 3)
    assert "17 of 17 other weights go on" in verdict["warm_start"]
    assert verdict["metrics"]["click"]["auc"]["baseline"] is not None
    last_run = json.loads((world.root / "last_run.json").read_text())
    assert last_run["baseline"]["version"] == 2


def test_a_day_that_0_1_0_trained_is_not_trained_again(world):
    config = world.folder / "feed.yaml"
    ended = world.call("retrain", config, "--root", world.root, "--span", "2026-01-07")
    assert json.loads(ended.stdout.splitlines()[-1])["outcome"] == "already_trained"


def test_a_rollback_leads_to_a_version_of_0_1_0(world):
    for version in (2, 1):
        ended = world.call("rollback", "feed", "--root", world.root)
        assert ended.exit_code == 0, ended.output
        assert world.version == version
    nothing_left = world.call("rollback", "feed", "--root", world.root)
    assert nothing_left.exit_code == 1
    assert world.version == 1
