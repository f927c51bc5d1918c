"""Days of a log, one after the other: what is trained, pushed and refused.

One pipeline root is shared by all tests of this file, in the order they stand.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from taskroute.components.served import registry
from taskroute.pipeline.cli.main import cli
from taskroute.pipeline.sample_log.sample_files import write_sample_days
from taskroute.pipeline.sample_log.sample_log import SampleLogSpec, make_sample_log
from taskroute.schemas.change_record import DayChanges

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
        {"name": "user_id", "kind": "categorical", "hash_buckets": 500, "embedding_dim": 8},
        {"name": "item_id", "kind": "categorical", "vocabulary": {}, "embedding_dim": 8},
        {
            "name": "category",
            "kind": "categorical",
            "required": True,
            "vocabulary": {},
            "embedding_dim": 4,
        },
        {"name": "position", "kind": "dense", "transform": "log1p"},
    ],
    "tasks": [
        {"name": "click", "label": {"column": "clicked"}},
        {"name": "watch", "kind": "regression", "label": {"column": "watch_seconds"}},
    ],
    "trunk": {"kind": "snr_trans", "layers": [{"sub_networks": 2, "units": 16}]},
    "training": {"batch_size": 128, "epochs": 4},
    "evaluation": {"gates": [{"task": "click", "metric": "auc", "at_least": 0.5}]},
    "serving": {"batch_sizes": [1, 8]},
}


class World:
    """A log by day, a config and a pipeline root."""

    def __init__(self, folder):
        self.folder, self.root = folder, folder / "root"
        spec = SampleLogSpec(num_rows=12_000, num_users=300, num_items=100, num_days=6)
        self.days = write_sample_days(make_sample_log(spec), folder / "log")
        (folder / "feed.yaml").write_text(yaml.safe_dump(CONFIG))

    def arguments(self, day):
        options = ["--root", str(self.root), "--span", self.days[day]]
        return ["retrain", str(self.folder / "feed.yaml"), *options]

    def retrain(self, day):
        """The result of the command, and its verdict."""
        result = CliRunner().invoke(cli, self.arguments(day))
        verdict = json.loads(result.stdout.splitlines()[-1])
        assert verdict["exit_code"] == result.exit_code, result.output
        assert self.last_run["retrain"] == verdict
        return result, verdict

    def change(self, day, how):
        path = self.folder / "log" / self.days[day] / "log.parquet"
        pq.write_table(how(pq.read_table(path)), path)

    @property
    def last_run(self):
        return json.loads((self.root / "last_run.json").read_text())

    @property
    def serves(self):
        return registry.latest(self.root / "serving" / "feed").version


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def no_summary(monkeypatch):
    """A job of GitHub's Actions that runs these tests has a summary of its own."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def test_a_training_killed_after_an_epoch_is_gone_on_with_by_the_same_command(world):
    program = [sys.executable, "-m", "taskroute.pipeline", *world.arguments(1)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as killed:
        deadline = time.monotonic() + 300
        while not list(world.root.glob("training/*/progress.json")):
            assert killed.poll() is None, killed.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
    (progress,) = world.root.glob("training/*/progress.json")
    left = json.loads(progress.read_text())["history"]["val_loss"]
    half_written = next((world.root / "artifacts" / "Trainer" / "model").iterdir())
    _, verdict = world.retrain(1)
    assert (verdict["outcome"], verdict["version"], verdict["exit_code"]) == ("pushed", 1, 0)
    assert verdict["warm_start"] is None
    stages = {stage["name"]: stage["cached"] for stage in world.last_run["stages"]}
    assert all(stages[name] for name in ("LogExampleGen", "StatisticsGen", "Transform"))
    curve = json.loads(Path(world.last_run["training"]).read_text())["history"]["val_loss"]
    assert curve[: len(left)] == left
    assert not list(world.root.glob("training/*"))
    assert not half_written.exists()


def test_the_same_span_is_trained_once(world):
    before = (world.root / "last_run.json").stat().st_mtime_ns
    result, verdict = world.retrain(1)
    assert (verdict["outcome"], verdict["version"]) == ("already_trained", 1)
    assert "already trained: version 1" in verdict["message"]
    assert (world.root / "last_run.json").stat().st_mtime_ns > before
    assert len(result.stdout.splitlines()) == 1
    assert len(list((world.root / "artifacts" / "Trainer" / "model").iterdir())) == 1


def test_the_next_day_goes_on_from_the_model_that_serves(world, monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    _, verdict = world.retrain(2)
    assert (verdict["outcome"], verdict["version"]) == ("pushed", 2)
    assert (verdict["first_span"], verdict["last_span"]) == (world.days[1], world.days[2])
    assert "other weights go on" in verdict["warm_start"]
    assert world.last_run["warm_start"]["rows_taken"] > 500
    assert world.last_run["baseline"]["version"] == 1
    assert "### feed: pushed" in (tmp_path / "summary.md").read_text()
    assert (world.root / "serving" / "feed" / ".warm_start" / "2" / "record.json").exists()


def test_the_newest_span_is_compared_by_the_model_that_has_not_seen_it(world):
    told = json.loads((world.root / "alerts.json").read_text())
    assert (told["now"], told["note"]) == (world.days[2], "")
    assert told["run"] == world.last_run["started"]
    assert told["alerts"] == world.last_run["alerts"]
    changes = DayChanges.read(world.root / world.last_run["artifacts"]["DayMonitor.changes"])
    assert changes.served_version == 1
    assert list(changes.rows) == list(world.days[1:3])
    found = {(one.signal, one.name) for one in changes.changes}
    assert found >= {
        *(("oov", "item_id"), ("drift", "position"), ("missing", "category")),
        *(("label_delay", "clicked"), ("label_rate", "click"), ("calibration", "watch")),
        *(("prediction_mean", "click"), ("prediction_drift", "watch")),
    }


def test_a_poisoned_day_is_not_pushed(world):
    def flip(table):
        place = table.column_names.index("clicked")
        flipped = pa.compute.subtract(1, table["clicked"])
        return table.set_column(place, "clicked", flipped)

    world.change(3, flip)
    result, verdict = world.retrain(3)
    assert (verdict["outcome"], result.exit_code) == ("not_blessed", 4)
    assert "click" in verdict["message"]
    assert verdict["version"] == world.serves == 2
    told = json.loads((world.root / "alerts.json").read_text())["alerts"]
    assert [alert["sentence"] for alert in told] == verdict["alerts"]
    fired = {(alert["signal"], alert.get("task")) for alert in told}
    assert fired >= {("label_rate", "click"), ("calibration", "click")}
    assert ("label_delay", None) not in fired
    assert "alert" in result.stdout


def test_a_serving_log_that_differs_in_one_feature_is_told_by_that_one(world):
    log = pq.read_table(world.folder / "log" / world.days[3] / "log.parquet")
    place = log.column_names.index("position")
    features = log.drop_columns(["clicked", "watch_seconds"])
    halved = log.set_column(place, "position", pa.compute.divide(log["position"], 3))
    alerts = []
    for name, table in (("same", features), ("halved", halved)):
        path = world.folder / f"{name}.parquet"
        pq.write_table(table, path)
        arguments = ["monitor", str(world.folder / "feed.yaml"), "--root", str(world.root)]
        result = CliRunner().invoke(cli, [*arguments, "--serving-log", str(path)])
        assert result.exit_code == 0, result.output
        told = json.loads((world.root / "serving_alerts.json").read_text())
        assert told["now"] == str(path)
        assert result.stdout.count(" alert ") == len(told["alerts"])
        alerts.append({(alert["signal"], alert["column"]) for alert in told["alerts"]})
    assert alerts == [set(), {("skew", "position")}]
    ended = CliRunner().invoke(cli, ["report", str(world.root)])
    page = Path(ended.output.strip()).read_text()
    assert "Serving log" in page
    assert "halved.parquet" in page


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [("category,position\nnews,1\n", 3, "Parquet"), (None, 3, "no file")],
)
def test_a_serving_log_that_cannot_be_read_is_refused_in_a_sentence(world, content, code, words):
    path = world.folder / "serving.csv"
    if content is not None:
        path.write_text(content)
    arguments = ["monitor", str(world.folder / "feed.yaml"), "--root", str(world.root)]
    result = CliRunner().invoke(cli, [*arguments, "--serving-log", str(path)])
    path.unlink(missing_ok=True)
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_serving_log_needs_a_run_to_be_compared_with(world, tmp_path):
    arguments = ["monitor", str(world.folder / "feed.yaml"), "--root", str(tmp_path)]
    result = CliRunner().invoke(cli, [*arguments, "--serving-log", "log.parquet"])
    assert result.exit_code == 2
    assert "call `taskroute run` first" in result.stderr


def test_a_day_without_a_required_column_is_refused(world):
    world.change(4, lambda table: table.drop_columns(["category"]))
    result, verdict = world.retrain(4)
    assert (verdict["outcome"], result.exit_code) == ("data_refused", 3)
    assert "category" in verdict["message"]
    assert result.stderr.count("\n") == 1
    assert verdict["version"] == world.serves == 2


def test_a_span_that_was_rolled_back_is_not_trained_again(world):
    ended = CliRunner().invoke(cli, ["rollback", "feed", "--root", str(world.root)])
    assert ended.exit_code == 0
    _, verdict = world.retrain(2)
    assert verdict["outcome"] == "already_trained"
    assert "was rolled back" in verdict["message"]
    assert verdict["version"] == world.serves == 1


@pytest.mark.parametrize(
    ("span", "words"), [("2026-02-30", "--span"), ("17", "--span"), ("2027-01-01", "no file")]
)
def test_a_span_that_is_none_is_refused_in_a_sentence(world, span, words):
    arguments = [*world.arguments(1)[:-1], span]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code in (2, 3)
    assert words in result.stderr
    assert json.loads(result.stdout)["message"] in result.stderr


def test_only_the_verdict_is_printed_where_only_that_is_asked_for(world):
    result = CliRunner().invoke(cli, [*world.arguments(4), "--json"])
    assert json.loads(result.stdout)["outcome"] == "data_refused"


def test_a_log_without_spans_is_told_what_it_lacks(world, tmp_path):
    source = {**CONFIG["source"], "path": "log.parquet"}
    del source["window_days"]
    (tmp_path / "feed.yaml").write_text(yaml.safe_dump({**CONFIG, "source": source}))
    result = CliRunner().invoke(
        cli, ["retrain", str(tmp_path / "feed.yaml"), "--root", str(tmp_path / "root")]
    )
    assert result.exit_code == 2
    assert "has no spans" in result.stderr
