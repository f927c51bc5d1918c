"""The checks of binary labels."""

import numpy as np
import pyarrow as pa
import pytest

from taskroute.components.logs.labels import (
    MISSING,
    LabelCounts,
    check_both_classes,
    count_labels,
    read_labels,
)
from taskroute.components.logs.log_batch import LogBatch, RowCheck
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.tasks import Label, Task


def _check(values, *tasks):
    """Labels by task, and the check that noted the bad rows."""
    batch = LogBatch("log.csv", np.arange(11, 11 + len(values)), pa.record_batch({"y": values}))
    check = RowCheck(batch)
    labels = read_labels(check, check.convert([RawColumn("y", "number")]), tasks)
    return labels, check


def _labels(values, at_least=None):
    task = Task(name="click", label=Label(column="y", at_least=at_least))
    return _check(pa.array(values), task)[0]["click"]


def test_zeros_ones_and_missing_are_told_apart():
    labels = _labels([0.0, 1.0, None, 1.0])
    assert labels.tolist() == [0, 1, MISSING, 1]
    assert count_labels(labels) == LabelCounts(negatives=1, positives=2, missing=1)


def test_at_least_makes_labels_from_a_number():
    assert _labels([29.9, 30.0, None, 0.0, 31.0], at_least=30).tolist() == [0, 1, MISSING, 0, 1]


def test_at_least_is_compared_in_float32_as_the_graph_does():
    assert _labels([0.1], at_least=0.1).tolist() == [1]


def test_a_label_that_is_neither_zero_nor_one_is_named():
    task = Task(name="click", label=Label(column="y"))
    labels, check = _check(pa.array([0.0, None, 1.0, 0.5, 7.0]), task)
    assert labels["click"][check.is_good].tolist() == [0, MISSING, 1]
    assert [bad.sentence() for bad in check.bad_rows] == [
        f"log.csv: row {row}, column 'y': '{value}' is no label: it must be 0 or 1; give "
        "`at_least` to make one from a number"
        for row, value in ((14, 0.5), (15, 7.0))
    ]


@pytest.mark.parametrize(
    ("label", "bad"),
    [
        ({"transform": "log1p"}, [12]),
        ({"transform": "log1p", "minimum": 2.0}, [11, 12, 14]),
        ({"minimum": -3.0}, []),
        ({}, []),
    ],
)
def test_a_label_below_its_minimum_is_named(label, bad):
    task = Task(name="watch", kind="regression", label=Label(column="y", **label))
    _, check = _check(pa.array(["0", "-1", "", "1", "2"]), task)
    assert [row.row for row in check.bad_rows] == bad
    assert {row.reason for row in check.bad_rows} <= {"out_of_range"}


def test_a_negative_weight_is_named():
    task = Task(name="watch", kind="regression", label=Label(column="y"), weight="y")
    _, check = _check(pa.array([0.5, -0.5, None, 0.0]), task)
    assert [(bad.row, bad.reason) for bad in check.bad_rows] == [(12, "out_of_range")]


def test_a_row_that_is_bad_in_two_ways_is_named_once():
    watch = Task(name="watch", kind="regression", label=Label(column="y", minimum=0.0))
    click = Task(name="click", label=Label(column="y"))
    _, check = _check(pa.array(["x", "-1", "2", "0"]), watch, click)
    reasons = [(bad.row, bad.reason) for bad in check.bad_rows]
    assert reasons == [(11, "not_a_number"), (12, "out_of_range"), (13, "wrong_label")]
    assert check.is_good.tolist() == [False, False, False, True]


def test_counts_add_up():
    assert LabelCounts(1, 2, 3) + LabelCounts(10, 20, 30) == LabelCounts(11, 22, 33)


def test_both_classes_are_enough():
    check_both_classes({"y": LabelCounts(1, 1, 50)})


@pytest.mark.parametrize(
    ("counts", "only"),
    [
        (LabelCounts(5, 0, 1), "is 0 in every train row"),
        (LabelCounts(0, 5, 1), "is 1 in every train row"),
        (LabelCounts(0, 0, 6), "is missing in every train row"),
    ],
)
def test_a_label_of_one_class_is_refused(counts, only):
    with pytest.raises(DataError, match=f"task 'y': the label {only}") as error:
        check_both_classes({"x": LabelCounts(1, 1), "y": counts})
    assert error.value.exit_code == 3


def test_the_message_says_what_was_counted():
    with pytest.raises(DataError, match="in every row of the sample"):
        check_both_classes({"y": LabelCounts(5)}, rows="row of the sample")
