"""The files of DayMonitor are read back as they were."""

import numpy as np
import pytest

from taskroute.components.measures.day_records import read_tables, write_tables
from taskroute.schemas.change_record import DayChanges, Histogram, JudgedChange
from taskroute.schemas.errors import DataError

CHANGE = JudgedChange(
    signal="missing",
    name="age",
    since="2026-01-01 to 2026-01-02",
    now="2026-01-03",
    before=0.03,
    levels={"2026-01-01": 0.02, "2026-01-02": 0.04, "2026-01-03": 0.25},
    change=0.22,
    low=0.2,
    high=0.24,
    ordinary=0.01,
    threshold=0.05,
    alert=True,
)
CHANGES = DayChanges(
    now="2026-01-03",
    rows={"2026-01-01": 10, "2026-01-02": 12, "2026-01-03": 9},
    every=1,
    served_version=3,
    note="",
    changes=(CHANGE, CHANGE.model_copy(update={"alert": False, "low": None, "high": None})),
    histograms=(Histogram(column="age", boundaries=(1.0, 2.5)),),
)


def test_changes_and_tables_survive_their_files(tmp_path):
    tables = {
        "9": {("drift", "a.b-c"): np.arange(6.0).reshape(3, 2), ("label_rate", "x"): np.eye(2)},
        "10": {("drift", "a.b-c"): np.ones((3, 2)), ("missing", "x/y/../Größe"): np.eye(3)},
    }
    CHANGES.write(tmp_path)
    write_tables(tmp_path, tables)
    assert DayChanges.read(tmp_path) == CHANGES
    found = read_tables(tmp_path)
    assert list(found) == ["9", "10"]
    for span, of_span in tables.items():
        assert found[span].keys() == of_span.keys()
        for key, table in of_span.items():
            np.testing.assert_array_equal(found[span][key], table)


def test_an_alert_is_what_is_shown_beyond_the_limit():
    assert CHANGE.limit == pytest.approx(0.06)
    assert CHANGE.shown == 0.2
    fallen = CHANGE.model_copy(update={"change": -0.22, "low": -0.24, "high": -0.2})
    assert fallen.shown == 0.2
    unsure = CHANGE.model_copy(update={"low": -0.1})
    assert unsure.shown == 0


def test_the_sentence_has_levels_change_limit_and_spans():
    assert CHANGE.sentence == (
        "missing of column 'age': 25.0%, before 3.0%: 22.0 points more, at least 20.0 points, told "
        "above 6.0 points (2026-01-03 against 2026-01-01 to 2026-01-02)"
    )
    ratio = {"signal": "calibration", "name": "click", "before": 1.0, "change": -0.22}
    ratio |= {"levels": {"2026-01-03": 0.78}, "low": -0.24, "high": -0.2}
    assert CHANGE.model_copy(update=ratio).sentence == (
        "calibration of task 'click': 0.78, before 1: 22% less, at least 20%, told above 6% "
        "(2026-01-03 against 2026-01-01 to 2026-01-02)"
    )
    distance = {"signal": "drift", "moved": "'tv': 20.0% of the values, before 10.0%"}
    assert CHANGE.model_copy(update=distance).sentence == (
        "drift of column 'age': distance 0.220, at least 0.200, told above 0.060; 'tv': 20.0% of "
        "the values, before 10.0% (2026-01-03 against 2026-01-01 to 2026-01-02)"
    )


def test_what_an_alert_holds_names_a_column_or_a_task():
    alert = CHANGE.as_alert().model_dump()
    assert alert["column"] == "age"
    assert (alert["value"], alert["before"], alert["threshold"]) == (0.25, 0.03, 0.05)
    of_task = CHANGE.model_copy(update={"signal": "calibration"}).as_alert().model_dump()
    assert of_task["task"] == "age"
    assert "column" not in of_task
    assert "task" not in alert


@pytest.mark.parametrize("read", [DayChanges.read, read_tables])
def test_files_that_are_gone_or_broken_are_said_in_a_sentence(tmp_path, read):
    with pytest.raises(DataError, match="run the pipeline again"):
        read(tmp_path)
    for name in ("changes.json", "tables.npz"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(DataError, match="run the pipeline again"):
        read(tmp_path)
