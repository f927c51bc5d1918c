"""`taskroute compare` on the root of a finished run."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import yaml

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def compared(world):
    """Two trunks with two seeds, as a user calls it, on the stages that the run has finished."""
    path = world.folder / "compare.yaml"
    path.write_text(yaml.safe_dump(world.config))
    program = [sys.executable, "-m", "taskroute.pipeline", "compare", path, "--root", world.root]
    program += ["--trunks", "snr_trans,shared_bottom", "--seeds", "2"]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_stages_of_a_run_are_reused_and_every_trial_has_its_line(compared):
    assert "Transform          reused" in compared
    for line in ("1/4   snr_trans     seed 1", "4/4   shared_bottom seed 2"):
        assert line in compared
    assert max(map(len, compared.splitlines()[:-1])) <= 80


def test_the_config_s_own_trunk_and_seed_come_to_what_the_run_came_to(world, compared):
    found = json.loads((world.root / "compare" / "compare.json").read_text())
    by_row = {(row["task"], row["metric"], row["trunk"]): row for row in found["measured"]}
    for task, metrics in world.first_report["metrics"].items():
        metric = "auc" if metrics["kind"] == "binary" else "mae"
        value = by_row[task, metric, "snr_trans"]["by_seed"]["1"]
        assert value == pytest.approx(metrics["values"][metric], abs=1e-6), task


def test_trunks_are_of_one_size_and_what_is_served_was_timed(world, compared):
    found = json.loads((world.root / "compare" / "compare.json").read_text())
    routed, shared = found["costs"]
    assert shared["parameters"] == pytest.approx(routed["parameters"], rel=0.01)
    assert routed["latency_ms"] > 0
    assert shared["latency_ms"] > 0
    ElementTree.fromstring((world.root / "compare" / "compare.svg").read_text())  # noqa: S314
