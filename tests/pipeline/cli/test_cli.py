"""The command's words, exit codes and speed of import, without running a pipeline."""

import subprocess
import sys

import pyarrow as pa
import pyarrow.csv
import pytest
import yaml
from click.testing import CliRunner

from taskroute.pipeline.cli.main import cli

NUM_ROWS = 40
CONFIG = {
    "name": "shop",
    "source": {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}},
    "features": [
        {"name": "user", "kind": "categorical", "hash_buckets": 100},
        {"name": "age", "kind": "dense"},
    ],
    "tasks": [{"name": "click", "label": {"column": "clicked"}}],
}


@pytest.fixture
def shop(tmp_path):
    """Writes a config and its log; returns a function that runs a command on them."""

    def call(*arguments, config=CONFIG, **columns):
        log = {
            "user": [f"u{i % 7}" for i in range(NUM_ROWS)],
            "age": [str(20 + i) for i in range(NUM_ROWS)],
            "clicked": [str(i % 2) for i in range(NUM_ROWS)],
        } | columns
        kept = {name: values for name, values in log.items() if values is not None}
        pa.csv.write_csv(pa.table(kept), tmp_path / "log.csv")
        path = tmp_path / "shop.yaml"
        path.write_text(yaml.safe_dump(config))
        return CliRunner().invoke(cli, [*arguments, str(path)])

    return call


def assert_one_sentence(result, code, *words):
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("taskroute: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_check_prints_features_missing_rates_and_label_rates(shop):
    result = shop("check", age=["" if i < 10 else "3" for i in range(NUM_ROWS)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert any("age" in line and "25.0%" in line for line in lines)
    assert any("click" in line and "50.00%" in line for line in lines)


@pytest.mark.parametrize("command", ["check", "run"])
class TestEachCommand:
    def test_names_a_misspelt_field(self, shop, command):
        wrong = CONFIG | {"trainning": {"epochs": 3}}
        assert_one_sentence(shop(command, config=wrong), 2, "shop.yaml", "trainning")

    def test_names_a_missing_column(self, shop, command):
        assert_one_sentence(shop(command, age=None), 3, "log.csv", "'age'")

    def test_names_the_row_of_a_text_in_a_number_column(self, shop, command):
        ages = ["20"] * NUM_ROWS
        ages[17] = "old"
        assert_one_sentence(shop(command, age=ages), 3, "log.csv", "row 18", "'age'", "old")

    def test_names_an_all_negative_label(self, shop, command):
        result = shop(command, clicked=["0"] * NUM_ROWS)
        assert_one_sentence(result, 3, "click", "0 in every row")

    def test_names_a_label_that_is_neither_0_nor_1(self, shop, command):
        clicked = ["0", "1", "2", *["0"] * (NUM_ROWS - 3)]
        assert_one_sentence(shop(command, clicked=clicked), 3, "row 3", "'clicked'", "2")

    def test_names_a_pattern_that_matches_nothing(self, shop, command):
        source = CONFIG["source"] | {"path": "none-*.csv"}
        result = shop(command, config=CONFIG | {"source": source})
        assert_one_sentence(result, 3, "none-*.csv")


def test_a_config_that_is_not_there_is_named():
    result = CliRunner().invoke(cli, ["check", "nowhere.yaml"])
    assert_one_sentence(result, 2, "nowhere.yaml")


def test_an_unknown_option_is_a_usage_error():
    assert CliRunner().invoke(cli, ["run", "--nope"]).exit_code == 2


@pytest.mark.parametrize(
    "module", ["taskroute.pipeline.cli.main", "taskroute.pipeline.inspection.check"]
)
def test_the_quick_commands_import_nothing_heavy(module):
    heavy = ("tensorflow", "tfx", "apache_beam", "pandas")
    program = f"import sys, {module}; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
