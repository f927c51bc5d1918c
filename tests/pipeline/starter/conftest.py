"""A small log, and what `taskroute init` makes of it."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from taskroute.pipeline.cli.main import cli
from taskroute.schemas.recommender import load_config

ROWS = 600


def _log(**columns):
    random = np.random.default_rng(0)
    clicked = random.integers(0, 2, ROWS)
    made = {
        "time": [f"2026-01-01 00:{row // 60:02d}:{row % 60:02d}" for row in range(ROWS)],
        "user_id": [f"u{number}" for number in random.integers(0, 150, ROWS)],
        "device": [("phone", "tv")[number] for number in random.integers(0, 2, ROWS)],
        "age": random.integers(18, 80, ROWS).tolist(),
        "clicked": clicked.tolist(),
        "liked": (clicked * random.integers(0, 2, ROWS)).tolist(),
        "watch_seconds": (clicked * random.exponential(20, ROWS)).round(1).tolist(),
    } | columns
    return {name: values for name, values in made.items() if values is not None}


def _write(folder, name, columns):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if name.endswith(".csv"):
        pa.csv.write_csv(table, path)
    elif name.endswith(".parquet"):
        pa.parquet.write_table(table, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return path


def _call(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def log():
    """Makes a log that the tests change: a column of None is taken out."""
    return _log


@pytest.fixture
def write():
    """Writes columns to a file in a folder."""
    return _write


@pytest.fixture
def call():
    """Calls `taskroute`."""
    return _call


@pytest.fixture
def init_file(tmp_path):
    """Makes a config of a file, checks it, and returns the config."""

    def make(path):
        output = tmp_path / "shop.yaml"
        output.unlink(missing_ok=True)
        result = _call("init", path, "-o", output)
        assert result.exit_code == 0, result.output
        checked = _call("check", output)
        assert checked.exit_code == 0, checked.output
        return load_config(output)

    return make


@pytest.fixture
def init(tmp_path, init_file):
    """Writes a log, makes a config of it, checks it, and returns the config."""

    def make(name="feed.jsonl", **columns):
        return init_file(_write(tmp_path, name, _log(**columns)))

    return make


@pytest.fixture
def feature(init):
    """The feature, as a config has it, that a column becomes; None where it becomes none."""

    def make(name, values, **columns):
        config = init("feed.parquet", **columns, **{name: values})
        found = [each for each in config.features if each.column == name]
        return found[0].model_dump(exclude_unset=True) if found else None

    return make


@pytest.fixture
def refused():
    """Asserts that a call ended in one sentence."""

    def check(result, code, *words):
        assert result.exit_code == code, result.output
        assert result.stderr.startswith("taskroute: ")
        assert result.stderr.count("\n") == 1
        for word in words:
            assert word in result.stderr

    return check
