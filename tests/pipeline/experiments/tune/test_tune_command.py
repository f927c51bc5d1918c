"""The command from config to `best.yaml`; what is trained is a stand-in."""

import json
import math

import pytest
import yaml
from click.testing import CliRunner

from taskroute.pipeline.cli.main import cli
from taskroute.pipeline.experiments import session, worker
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.pipeline.experiments.trial import Cost
from taskroute.pipeline.experiments.tune import command
from taskroute.pipeline.experiments.tune.record import TuneRecord
from taskroute.schemas.recommender import ModelConfig, load_config

CONFIG = {
    "name": "shop",
    "source": {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}},
    "features": [{"name": "user", "kind": "categorical", "hash_buckets": 100}],
    "tasks": [
        {"name": "click", "label": {"column": "clicked"}},
        {"name": "a_task_of_a_long_name", "kind": "regression", "label": {"column": "seconds"}},
    ],
    "training": {"seed": 7},
    "tuning": {
        "parameters": {
            "training.learning_rate": {"min": 0.0001, "max": 0.1, "scale": "log"},
            "trunk": {
                "values": [
                    {"kind": "mmoe", "layers": [{"experts": experts, "units": [32, 16]}]}
                    for experts in (2, 4)
                ]
            },
        },
        "objective": [
            {"task": "click", "metric": "auc"},
            {"task": "a_task_of_a_long_name", "metric": "mae", "weight": 0.001},
        ],
        "constraints": [{"task": "click", "metric": "log_loss", "at_most": 0.9}],
        "trials": 8,
        "final_seeds": 3,
    },
}


COST = Cost(trunk_parameters=1, parameters=2, macs=3, served_parameters=2, served_macs=3)
NUM_ROWS = 800


class Machine:
    """In the place of Worker: better near a learning rate of 0.01; test is 0.01 below."""

    def __init__(self):
        self.measured, self.kept = [], None

    def measure(self, trial, split, *, keep, log_dir):
        self.measured.append((split, trial.number, trial.seed))
        if trial.number == 3:
            raise FloatingPointError("a long story: " + "and then it went on, " * 9)
        gap = math.log10(trial.config.training.learning_rate / 0.01)
        auc = 0.8 - 0.02 * gap**2 + 0.001 * math.sin(trial.seed + trial.number)
        auc -= 0.01 * (split == "test")
        return worker.Measured(
            metrics={
                "click": {"auc": auc, "log_loss": 0.5},
                "a_task_of_a_long_name": {"mae": 12_345.6 - auc},
            },
            num_rarer={},
            num_invalid=0,
            epochs=12,
            best_epoch=10,
            cost=COST,
        )

    def keep_only(self, keys):
        self.kept = set(keys)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    made = Machine()
    monkeypatch.setattr(worker, "Worker", lambda *_: made)
    monkeypatch.setattr(session, "check_log", lambda *_: None)
    monkeypatch.setattr(session, "log_fingerprint", lambda *_: "log")
    monkeypatch.setattr(session, "digests_of", lambda *_: {"data": "d", "code": "c"})
    rows = {"train": NUM_ROWS, "validation": 100, "test": 100}
    monkeypatch.setattr(
        session, "prepare", lambda *_: (SharedData(tmp_path, tmp_path, tmp_path), rows)
    )
    return made


@pytest.fixture
def tune(tmp_path, machine, monkeypatch):
    """Calls the command; `root` holds what it leaves."""
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))

    def call(**arguments):
        path = tmp_path / "shop.yaml"
        return command.tune(
            load_config(path), path, tmp_path, tmp_path / "root", verbose=True, **arguments
        )

    return call


def test_it_writes_a_config_that_is_the_best_trial(tune, tmp_path):
    record = tune()
    found = load_config(tmp_path / "root" / "tune" / "best.yaml")
    own = load_config(tmp_path / "shop.yaml")
    assert record.chosen != 1
    assert found.training.learning_rate == record.chosen_values["training.learning_rate"]
    assert found.trunk.kind == "mmoe"
    assert found.training.seed == own.training.seed == 7
    assert found.tuning == own.tuning
    assert found.source.path == str(tmp_path / "log.csv")


def test_the_written_config_is_the_one_that_was_trained(tune, tmp_path):
    """The same key: config, seed and all else that decides the result."""
    record = tune()
    found = load_config(tmp_path / "root" / "tune" / "best.yaml")
    lines = (tmp_path / "root" / "tune" / "trials.jsonl").read_text().splitlines()
    from taskroute.pipeline.experiments.keys import trial_key

    key = trial_key(found.part(ModelConfig), found, {"data": "d", "code": "c"})
    (line,) = [json.loads(line) for line in lines if json.loads(line)["key"] == key]
    assert line["values"] == json.loads(json.dumps(record.chosen_values))
    assert line["seed"] == 7


def test_it_says_at_its_head_what_it_was_found_by(tune, tmp_path):
    record = tune()
    text = (tmp_path / "root" / "tune" / "best.yaml").read_text()
    head = text.partition("\n\n")[0].splitlines()
    assert all(line.startswith("#") for line in head)
    assert f"trial {record.chosen} of 8 trials." in head[0]
    assert any("training.learning_rate: 0.001 -> " in line for line in head)
    assert max(map(len, head)) <= 100


def test_all_that_is_printed_fits_80_columns(tune, capsys):
    record = tune(test=True)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:-1])) <= 80
    text = "\n".join(lines)
    for words in (
        "shop  2 parameters, 8 trials, 2 tasks",
        "FloatingPointError: a long story",
        "seed 10",
        f"{record.chosen} <",
        "objective: mean of click auc, a_task_of_a_long_name mae x 0.001.",
        "training.learning_rate",
    ):
        assert words in text


def test_the_record_survives_json_and_names_what_failed(tune, tmp_path):
    record = tune()
    read = TuneRecord.model_validate_json((tmp_path / "root" / "tune" / "tune.json").read_text())
    assert read == record
    assert read.tried[2].against_it[0].startswith("FloatingPointError")
    assert read.finals[0].number == 1
    assert read.final_seeds == (8, 9, 10)
    assert read.examples == 12 * NUM_ROWS * (7 + 4 * 3)


def test_a_second_call_trains_nothing(tune, machine):
    first = tune()
    machine.measured.clear()
    assert tune() == first
    assert machine.measured == []


def test_test_rows_are_read_only_when_asked_for_and_only_of_two(tune, machine):
    record = tune()
    assert {split for split, *_ in machine.measured} == {"validation"}
    assert {row.split for row in record.metrics} == {"validation"}
    kept = len(machine.kept)
    machine.measured.clear()
    tested = tune(test=True)
    assert tested.chosen == record.chosen
    assert machine.measured == [
        ("test", number, seed) for number in (1, record.chosen) for seed in (8, 9, 10)
    ]
    assert kept == len(machine.measured)
    rows = {(row.split, row.metric): row for row in tested.metrics}
    for metric in ("auc", "mae"):
        assert rows["test", metric].against_own.num_seeds == 3
    machine.measured.clear()
    assert tune(test=True) == tested
    assert machine.measured == []


def test_it_is_told_whether_the_best_is_better_and_what_was_luck(tune):
    findings = tune().findings
    assert findings[0].startswith("trial ")
    assert "is better than the config as it is: its objective" in findings[0]
    assert "after Holm's correction for 3 tests" in findings[0]


def test_minutes_that_are_used_up_leave_nothing_chosen(tune, tmp_path, capsys, monkeypatch):
    clock = iter(range(0, 10**6, 60))
    with monkeypatch.context() as patched:
        patched.setattr(command.time, "monotonic", lambda: float(next(clock)))
        record = tune(budget_minutes=9)
    assert record.chosen is None
    assert record.ended_by == "minutes"
    assert 0 < len(record.tried) < 8
    assert not (tmp_path / "root" / "tune" / "best.yaml").exists()
    assert "the same command goes on" in capsys.readouterr().out


def test_minutes_that_end_within_the_finals_show_nothing_yet(tune, monkeypatch):
    clock = iter(range(0, 10**6, 60))
    with monkeypatch.context() as patched:
        patched.setattr(command.time, "monotonic", lambda: float(next(clock)))
        record = tune(budget_minutes=45)
    assert len(record.tried) == 8
    assert record.ended_by == "minutes"
    assert record.finals
    assert record.chosen is None
    assert record.findings == ()


def test_the_best_of_a_search_before_is_not_left_beside_one_that_found_none(
    tune, tmp_path, monkeypatch
):
    tune()
    best = tmp_path / "root" / "tune" / "best.yaml"
    assert best.exists()
    path = tmp_path / "shop.yaml"
    content = yaml.safe_load(path.read_text())
    content["tuning"]["constraints"] = [{"task": "click", "metric": "log_loss", "at_most": 0.1}]
    path.write_text(yaml.safe_dump(content))
    assert tune().chosen is None
    assert not best.exists()


def test_where_no_trial_may_be_chosen_that_is_said(tune, tmp_path, capsys):
    path = tmp_path / "shop.yaml"
    content = yaml.safe_load(path.read_text())
    content["tuning"]["constraints"] = [{"task": "click", "metric": "log_loss", "at_most": 0.1}]
    path.write_text(yaml.safe_dump(content))
    record = tune()
    assert record.chosen is None
    assert "no trial beside the config may be chosen" in capsys.readouterr().out
    assert not (tmp_path / "root" / "tune" / "best.yaml").exists()
    assert all("log_loss 0.5000 is above 0.1" in each.against_it[0] for each in record.tried[3:])


def test_a_config_that_breaks_a_constraint_is_said_to_be_out(tune, tmp_path):
    path = tmp_path / "shop.yaml"
    content = yaml.safe_load(path.read_text())
    content["tuning"]["constraints"] = [{"task": "click", "metric": "auc", "at_least": 0.79}]
    path.write_text(yaml.safe_dump(content))
    record = tune()
    assert record.chosen not in (None, 1)
    assert record.findings[0].startswith("the config as it is may not be chosen: click auc 0.7")


def test_the_best_of_a_search_is_not_tuned_where_it_would_be_replaced(tune, tmp_path, monkeypatch):
    tune()
    best = tmp_path / "root" / "tune" / "best.yaml"
    text = best.read_text()
    called = ["tune", str(best), "--root", str(tmp_path / "root"), "--budget", "1"]
    result = CliRunner().invoke(cli, called)
    assert result.exit_code == 2
    assert "tune a copy of it" in result.stderr
    assert best.read_text() == text


def test_the_config_is_that_of_the_start_whatever_is_made_of_its_file_meanwhile(
    tune, tmp_path, machine
):
    path = tmp_path / "shop.yaml"
    measure = machine.measure

    def edited_meanwhile(*arguments, **options):
        path.write_text("name: another\n")
        return measure(*arguments, **options)

    machine.measure = edited_meanwhile
    tune()
    assert load_config(tmp_path / "root" / "tune" / "best.yaml").name == "shop"


def refused(tmp_path, config, *arguments):
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(config))
    called = ["tune", str(path), "--root", str(tmp_path / "root"), *arguments]
    result = CliRunner().invoke(cli, called)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "root").exists()
    return result.stderr


def test_the_command_refuses_in_one_sentence_with_exit_code_2(tmp_path):
    assert "cannot tell a difference from chance" in refused(tmp_path, CONFIG, "--seeds", "1")
    without = {name: part for name, part in CONFIG.items() if name != "tuning"}
    assert "tuning: is missing" in refused(tmp_path, without)
    workers = CONFIG | {"training": {"strategy": "multi_worker"}}
    assert "training.strategy" in refused(tmp_path, workers)
    tuning = {"parameters": {"training.learning_rat": {"min": 1, "max": 2}}}
    message = refused(tmp_path, CONFIG | {"tuning": tuning})
    assert "tuning.parameters.training.learning_rat" in message
    assert "did you mean 'learning_rate'?" in message
