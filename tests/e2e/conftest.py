"""One small log and one run of the pipeline on it, shared by the tests of this folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from taskroute.pipeline.sample_log.sample_files import write_sample_log
from taskroute.pipeline.sample_log.sample_log import SampleLogSpec, make_sample_log

NUM_ROWS = 6_000


class World:
    """A log, a config and a pipeline root."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.num_rows = NUM_ROWS
        self.root = folder / "root"
        self.config = yaml.safe_load(Path("examples/demo.yaml").read_text())
        self.config["training"] = {"batch_size": 256, "epochs": 2}
        self.config["source"] |= {"path": "log.parquet", "format": "parquet"}
        self.set_gates({"task": "click", "metric": "auc", "at_least": 0.5})
        log = make_sample_log(SampleLogSpec(num_rows=NUM_ROWS, num_users=300, num_items=100))
        write_sample_log(log, folder / "log.parquet", "parquet")

    def set_gates(self, *gates):
        self.config["evaluation"] = {"gates": list(gates)}

    def run(self, code):
        path = self.folder / "demo.yaml"
        path.write_text(yaml.safe_dump(self.config))
        program = [sys.executable, "-m", "taskroute.pipeline", "run", path, "--root", self.root]
        ended = subprocess.run(program, capture_output=True, text=True, check=False)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended

    @property
    def report(self):
        return json.loads((self.root / "last_run.json").read_text())

    @property
    def serving(self):
        return self.root / "serving" / "demo"

    def artifact(self, pattern):
        (found,) = sorted((self.root / "artifacts").glob(pattern))
        return found


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("world"))
    made.first = made.run(0)
    made.first_report = made.report
    return made
