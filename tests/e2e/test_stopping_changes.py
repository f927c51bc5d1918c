"""Changes beyond a limit with `stop: true` end the run; without it they alert and are pushed.

One pipeline root is shared by all tests of this file, in the order they stand.
"""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from taskroute.components.served import registry
from taskroute.pipeline.cli.main import cli
from taskroute.pipeline.sample_log.sample_files import write_sample_days
from taskroute.pipeline.sample_log.sample_log import SampleLogSpec, make_sample_log

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CONFIG = {
    "name": "feed",
    "source": {
        "path": "log/{YYYY}-{MM}-{DD}/*.parquet",
        "format": "parquet",
        "timestamp": "event_time",
        "window_days": 2,
        "split": {"by": "time", "validation": 0.1, "test": 0.25},
    },
    "features": [
        {"name": "user_id", "kind": "categorical", "hash_buckets": 500, "embedding_dim": 4},
        {"name": "device", "kind": "categorical", "vocabulary": {}, "embedding_dim": 4},
        {"name": "position", "kind": "dense", "transform": "log1p"},
    ],
    "tasks": [{"name": "click", "label": {"column": "clicked"}}],
    "training": {"batch_size": 512, "epochs": 1},
    "evaluation": {"group_key": "user_id"},
    "serving": {"batch_sizes": [8]},
}
STOP = {"threshold": 0.05, "stop": True}


class World:
    """A log by day, and a pipeline root."""

    def __init__(self, folder):
        self.folder, self.root = folder, folder / "root"
        spec = SampleLogSpec(num_rows=6_000, num_users=300, num_items=100, num_days=3)
        self.days = write_sample_days(make_sample_log(spec), folder / "log")
        path = self.log(2)
        log = pq.read_table(path)
        place = log.column_names.index("device")
        tv = pa.array(["tv"] * log.num_rows)
        pq.write_table(log.set_column(place, "device", tv), path)

    def log(self, day):
        return self.folder / "log" / self.days[day] / "log.parquet"

    def call(self, command, monitoring, *options):
        path = self.folder / "feed.yaml"
        path.write_text(yaml.safe_dump({**CONFIG, "monitoring": monitoring}))
        return CliRunner().invoke(cli, [command, str(path), "--root", str(self.root), *options])

    def retrain(self, day, **columns):
        """The result of the command, its verdict, and the names of the stages that ended."""
        result = self.call("retrain", {"columns": columns}, "--span", self.days[day])
        verdict = json.loads(result.stdout.splitlines()[-1])
        assert verdict["exit_code"] == result.exit_code, result.output
        return result, verdict, [stage["name"] for stage in self.last_run["stages"]]

    @property
    def last_run(self):
        return json.loads((self.root / "last_run.json").read_text())

    @property
    def alerts(self):
        told = json.loads((self.root / "alerts.json").read_text())["alerts"]
        return {(alert["signal"], alert.get("column"), alert["stop"]) for alert in told}

    @property
    def serves(self):
        pointer = registry.latest(self.root / "serving" / "feed")
        return pointer and pointer.version


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


def test_an_ordinary_day_passes_the_gate(world):
    _, verdict, stages = world.retrain(1, device={"drift": STOP})
    assert (verdict["outcome"], world.serves) == ("pushed", 1)
    assert stages.index("DayMonitor") < stages.index("ChangeGate") < stages.index("Trainer")
    assert not [alert for alert in world.alerts if alert[1] == "device"]


def test_a_day_that_moved_beyond_a_limit_that_stops_is_refused_before_training(world):
    result, verdict, stages = world.retrain(2, device={"drift": STOP})
    assert (verdict["outcome"], result.exit_code) == ("data_refused", 3)
    assert result.stderr.splitlines()[-1].endswith(verdict["message"])
    for words in (
        "drift of column 'device': distance 0.",
        "told above 0.050",
        f"({world.days[2]} against {world.days[1]})",
        "look at the log, or raise `monitoring.columns.device.drift` if the change is meant",
    ):
        assert words in verdict["message"]
    assert stages[-1] == "DayMonitor"
    assert world.last_run["failed_stage"] == "ChangeGate"
    assert ("drift", "device", True) in world.alerts
    assert world.serves == 1
    page = (world.root / "reports").glob("*.html")
    assert "stops the run" in max(page).read_text()


def test_a_test_split_that_moved_from_the_train_split_is_refused_before_training(world):
    result, verdict, stages = world.retrain(2, device={"split_shift": STOP})
    assert result.exit_code == 3
    assert "split_shift of column 'device'" in verdict["message"]
    assert "(test against train)" in verdict["message"]
    assert "Trainer" not in stages
    assert ("split_shift", "device", True) in world.alerts
    assert ("drift", "device", False) in world.alerts


def test_the_same_day_alerts_and_is_pushed_where_no_limit_stops(world):
    _, verdict, stages = world.retrain(2, device={"split_shift": 0.05})
    assert (verdict["outcome"], world.serves) == ("pushed", 2)
    assert "ChangeGate" not in stages
    assert {("drift", "device", False), ("split_shift", "device", False)} <= world.alerts
    assert any("drift of column 'device'" in sentence for sentence in verdict["alerts"])


def test_a_serving_log_beyond_a_limit_that_stops_ends_the_command_with_3(world):
    served = pq.read_table(world.log(1)).drop_columns(["clicked"])
    place = served.column_names.index("position")
    far = served.set_column(place, "position", pa.compute.multiply(served["position"], 50))
    path = world.folder / "served.parquet"
    limits = {"skew": None, "columns": {"position": {"skew": STOP}}}
    for table, code in ((served, 0), (far, 3)):
        pq.write_table(table, path)
        result = world.call("monitor", limits, "--serving-log", str(path))
        assert result.exit_code == code, result.output
    assert "training-serving skew of column 'position'" in result.stderr
    assert (world.root / "serving_alerts.json").exists()
