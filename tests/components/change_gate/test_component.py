"""The gate that ends a run at a change whose limit has `stop: true`."""

import pytest
from tfx.types import standard_artifacts

from taskroute.components.change_gate.component import ChangeGate
from taskroute.schemas.change_record import DayChanges, JudgedChange
from taskroute.schemas.errors import DataError

DRIFT = JudgedChange(
    signal="drift",
    name="device",
    since="2026-01-01 to 2026-01-08",
    now="2026-01-09",
    before=None,
    levels={},
    change=0.12,
    low=0.1,
    high=0.14,
    ordinary=0.01,
    threshold=0.05,
    alert=True,
    stop=True,
    moved="'tv': 50.0% of the values, before 20.0%",
)
LABELS = DRIFT.model_copy(update={"signal": "label_rate", "name": "click", "moved": ""})


def gate(folder, *changes):
    found = {"now": "2026-01-09", "rows": {}, "every": 1, "served_version": None, "note": ""}
    DayChanges(**found, changes=changes, histograms=()).write(folder)
    artifact = standard_artifacts.ExampleAnomalies()
    artifact.uri = str(folder)
    ChangeGate.test_call(changes=artifact)


def test_an_alert_whose_limit_stops_ends_the_run_in_a_sentence(tmp_path):
    with pytest.raises(DataError) as error:
        gate(tmp_path, LABELS.model_copy(update={"stop": False}), DRIFT)
    assert str(error.value) == (
        "drift of column 'device': distance 0.120, at least 0.100, told above 0.060; 'tv': 50.0% "
        "of the values, before 20.0% (2026-01-09 against 2026-01-01 to 2026-01-08): its limit has "
        "`stop: true`; look at the log, or raise `monitoring.columns.device.drift` if the change "
        "is meant"
    )
    assert error.value.exit_code == 3


def test_a_change_of_a_task_names_the_limit_of_the_task(tmp_path):
    with pytest.raises(DataError, match=r"raise `monitoring.tasks.click.label_rate` if"):
        gate(tmp_path, LABELS)


def test_alerts_without_stop_and_stops_without_an_alert_pass(tmp_path):
    gate(tmp_path)
    gate(tmp_path, DRIFT.model_copy(update={"stop": False}))
    gate(tmp_path, DRIFT.model_copy(update={"alert": False}))
