"""Records: each file is written and read by its class, and files of 0.1.0 are still understood."""

import json
import math
import tarfile
from pathlib import Path

import pytest

from taskroute.schemas.change_record import AlertFile, DayChanges
from taskroute.schemas.errors import DataError
from taskroute.schemas.evaluation_record import (
    Baseline,
    MeasuredTask,
    Measurements,
    TaskMetrics,
    Verdict,
)
from taskroute.schemas.findings import Finding, without_repeats
from taskroute.schemas.quarantine import RowsLeftOut
from taskroute.schemas.run_record import RetrainVerdict, RunRecord
from taskroute.schemas.serving import ModelInfo
from taskroute.schemas.serving_check import ServingReport
from taskroute.schemas.training_record import TrainingRecord
from taskroute.schemas.warm_start import WarmStartOutcome, WarmStartRecord

FIXTURE = Path(__file__).parents[1] / "fixtures" / "root_of_0_1_0.tar.xz"
OF_0_1_0 = (
    RunRecord,
    AlertFile,
    Measurements,
    Verdict,
    DayChanges,
    ServingReport,
    TrainingRecord,
    WarmStartOutcome,
    WarmStartRecord,
    ModelInfo,
)
KEYS = [
    *("name", "started", "exit_code", "error", "failed_stage", "stages", "rows", "spans"),
    *("splits", "bad_rows", "alerts", "findings", "training", "warm_start", "metrics", "slices"),
    *(
        "baseline",
        "verdict",
        "serving_check",
        "pushed_version",
        "pushed_path",
        "log",
        "report",
        "config",
        "code_digest",
    ),
    *("versions", "artifacts"),
]
SINCE_0_1_0 = {"splits", "findings"}


@pytest.fixture(scope="module")
def old_root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "feed" / "root"


def assert_holds(new, old):
    """All that `old` has is in `new`; a later version may add fields."""
    if isinstance(old, dict):
        for key, value in old.items():
            assert_holds(new[key], value)
    elif isinstance(old, list):
        assert len(new) == len(old)
        for pair in zip(new, old, strict=True):
            assert_holds(*pair)
    else:
        assert new == old


@pytest.mark.parametrize("record", OF_0_1_0)
def test_files_of_0_1_0_are_read_and_written_as_they_were(old_root, record):
    files = list(old_root.rglob(record.FILE))
    assert files
    for file in files:
        content = json.loads(file.read_text())
        if record is Measurements:  # it held the candidate's metrics twice
            repeated = content.pop("tasks")
            assert repeated == {
                name: both["candidate"] for name, both in content["compared"].items()
            }
        folder = Path(str(file).removesuffix(record.FILE))
        assert_holds(json.loads(record.read(folder).model_dump_json()), content)


def test_last_run_has_the_keys_and_shapes_that_scripts_read(old_root, tmp_path):
    record = RunRecord(name="feed", started="2026-01-01T00:00:00+00:00")
    record.write(tmp_path)
    content = json.loads((tmp_path / "last_run.json").read_text())
    assert list(content) == KEYS
    assert content["bad_rows"] == content["rows"] == content["metrics"] == {}
    assert content["stages"] == content["alerts"] == content["slices"] == []
    assert content["verdict"] is content["serving_check"] is content["warm_start"] is None
    of_0_1_0 = [key for key in KEYS if key not in SINCE_0_1_0]
    assert list(json.loads((old_root / "last_run.json").read_text())) == [*of_0_1_0, "retrain"]
    record.retrain = RetrainVerdict(name="feed", outcome="pushed", exit_code=0, message="done")
    assert list(json.loads(record.model_dump_json())) == [*KEYS, "retrain"]


def test_what_is_filled_of_one_run_is_not_in_the_next():
    RunRecord(name="a", started="now").rows["test"] = 1
    assert RunRecord(name="b", started="now").rows == {}


def test_rows_left_out_are_nothing_before_the_log_is_read():
    assert json.loads(RowsLeftOut().model_dump_json()) == {}
    counted = RowsLeftOut(rows=2, reasons={"not_json": 2}, folder="quarantine")
    assert RowsLeftOut.model_validate_json(counted.model_dump_json()) == counted


def test_a_record_that_is_missing_or_another_is_said_in_a_sentence(tmp_path):
    assert WarmStartRecord.find(tmp_path) is None
    with pytest.raises(DataError, match=r"record\.json: cannot be read: No such file.*train again"):
        WarmStartRecord.read(tmp_path)
    WarmStartRecord.path(tmp_path).write_text('{"config": 1}')
    assert WarmStartRecord.find(tmp_path) is None
    with pytest.raises(DataError, match="is not a record of this version; train again"):
        WarmStartRecord.read(tmp_path)


def test_a_record_makes_its_folder_and_leaves_nothing_beside(tmp_path):
    baseline = Baseline(version=1, path="serving/1", model_digest="d")
    metrics = TaskMetrics(
        kind="binary", num_examples=1, weight=1.0, num_invalid=0, values={}, undefined={}
    )
    measured = Measurements(
        split="test",
        num_examples=1,
        seconds=0.5,
        baseline=baseline,
        compared={"click": MeasuredTask(candidate=metrics)},
    )
    folder = tmp_path / "not" / "yet"
    measured.write(folder)
    assert [file.name for file in folder.iterdir()] == ["metrics.json"]
    assert Measurements.read(folder) == measured
    assert measured.tasks == {"click": metrics}
    assert "tasks" not in json.loads((folder / "metrics.json").read_text())


def test_losses_that_are_no_numbers_survive_the_file_of_a_training(tmp_path):
    record = TrainingRecord(
        epochs=2,
        best_epoch=1,
        history={"loss": (0.5, math.nan), "val_loss": (0.4, math.inf)},
        cost=(),
        served_cost=(),
        routing=({"name": "m", "upper": ["a"], "lower": ["1.1"], "values": [[math.nan]]},),
        guarded_tasks=(),
    )
    record.write(tmp_path)
    read = TrainingRecord.read(tmp_path)
    assert math.isnan(read.history["loss"][1])
    assert read.history["val_loss"] == (0.4, math.inf)
    assert math.isnan(read.routing[0].values[0][0])
    assert read.routing[0].num_open == 0


def test_a_feature_is_not_told_as_dead_where_its_column_is_told_as_missing():
    missing, dead, other = (
        Finding(kind=kind, subject=subject, sentence=kind)
        for kind, subject in (
            ("missing_column", "age"),
            ("dead_feature", "age"),
            ("dead_feature", "zip"),
        )
    )
    assert without_repeats([missing, dead, other]) == (missing, other)
    assert without_repeats([dead, other]) == (dead, other)
