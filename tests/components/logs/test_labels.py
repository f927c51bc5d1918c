"""Checks of labels, and the roles of rows in tasks."""

import numpy as np
import pyarrow as pa
import pytest

from taskroute.components.logs.labels import (
    CONTRADICTION,
    MISSING,
    NEGATIVE,
    OUTSIDE,
    POSITIVE,
    VALUE,
    WEIGHTLESS,
    LabelCounts,
    check_both_classes,
    count_labels,
    read_labels,
    require_counted,
)
from taskroute.components.logs.log_batch import LogBatch, RowCheck
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.tasks import Label, Task


def _check(values, *tasks, kind="number"):
    """Labels by task, and the check that noted the bad rows."""
    batch = LogBatch("log.csv", np.arange(11, 11 + len(values)), pa.record_batch({"y": values}))
    check = RowCheck(batch)
    labels = read_labels(check, check.convert([RawColumn("y", kind)]), tasks)
    return labels, check


def _labels(values, at_least=None):
    task = Task(name="click", label=Label(column="y", at_least=at_least))
    return _check(pa.array(values), task)[0]["click"]


def test_zeros_ones_and_missing_are_told_apart():
    labels = _labels([0.0, 1.0, None, 1.0])
    assert labels.tolist() == [0, 1, MISSING, 1]
    assert count_labels(labels) == LabelCounts(negatives=1, positives=2, missing=1)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"at_most": 2}, [1, 1, 0, 0, MISSING]),
        ({"between": (2, 3)}, [0, 1, 1, 0, MISSING]),
        ({"equals": 2}, [0, 1, 0, 0, MISSING]),
        ({"one_of": (1, 4)}, [1, 0, 0, 1, MISSING]),
    ],
)
def test_a_rule_makes_labels_from_numbers(rule, expected):
    task = Task(name="click", label=Label(column="y", **rule))
    assert _check(pa.array([1.0, 2.0, 3.0, 4.0, None]), task)[0]["click"].tolist() == expected


def test_texts_make_labels_of_an_event_log():
    view, buy = (
        Task(name=name, label=Label(column="y", **rule))
        for name, rule in (("view", {"one_of": ("view", "buy")}), ("buy", {"equals": "buy"}))
    )
    labels, check = _check(pa.array(["view", "buy", "", "cart", None]), view, buy, kind="text")
    assert labels["view"].tolist() == [1, 1, MISSING, 0, MISSING]
    assert labels["buy"].tolist() == [0, 1, MISSING, 0, MISSING]
    assert not check.bad_rows


def _roles(tasks, **columns):
    batch = LogBatch("log.csv", np.arange(1, 9), pa.record_batch(columns))
    check = RowCheck(batch)
    converted = check.convert([RawColumn(name, "number") for name in columns])
    return {name: role.tolist() for name, role in read_labels(check, converted, tasks).items()}


def test_a_row_counts_with_a_label_its_condition_and_a_weight():
    tasks = (
        Task(name="click", label=Label(column="c")),
        Task(name="like", label=Label(column="l"), trained_where="click", weight="w"),
        Task(name="watch", kind="regression", label=Label(column="l"), weight="w"),
    )
    roles = _roles(
        tasks,
        c=[1, 1, 0, 1, None, 1, 1, 0],
        l=[1, 0, 1, None, 1, 1, 0, None],
        w=[1, 2, 1, 1, 1, 0, None, 0],
    )
    assert roles["like"] == [
        *(POSITIVE, NEGATIVE, OUTSIDE, MISSING, OUTSIDE, WEIGHTLESS, WEIGHTLESS, MISSING)
    ]
    assert roles["watch"] == [
        *(VALUE, VALUE, VALUE, MISSING, VALUE, WEIGHTLESS, WEIGHTLESS, MISSING)
    ]
    counts = count_labels(np.array(roles["like"]))
    assert counts == LabelCounts(1, 1, missing=2, outside=2, weightless=2)
    assert (counts.counted, counts.total) == (2, 8)


def test_after_a_funnel_task_of_0_a_missing_label_is_0_and_a_1_contradicts_it():
    tasks = (
        Task(name="pay", label=Label(column="p"), funnel="buy"),
        Task(name="buy", label=Label(column="b"), funnel="click"),
        Task(name="click", label=Label(column="c")),
    )
    roles = _roles(
        tasks,
        c=[0, 1, 1, 0, None, 1, 0, 0],
        b=[None, None, 0, 1, None, 1, 0, None],
        p=[None, None, None, 0, 1, 1, 1, None],
    )
    assert roles["buy"] == [
        *(NEGATIVE, MISSING, NEGATIVE, CONTRADICTION, MISSING, POSITIVE, NEGATIVE, NEGATIVE)
    ]
    assert roles["pay"] == [
        *(NEGATIVE, MISSING, NEGATIVE, NEGATIVE, POSITIVE, POSITIVE, CONTRADICTION, NEGATIVE)
    ]
    assert count_labels(np.array(roles["buy"])) == LabelCounts(4, 2, missing=2, contradictions=1)


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


def test_the_rows_that_do_not_count_are_told():
    counts = LabelCounts(5, 0, missing=1, outside=2)
    with pytest.raises(DataError, match=r"row that counts \(1 have no label, 2 do not meet"):
        check_both_classes({"y": counts})


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        (LabelCounts(weightless=6), "no test row counts for it: 6 have a weight of 0 or none"),
        (LabelCounts(outside=3, missing=1), "for it: 1 have no label, 3 do not meet `trained_whe"),
        (LabelCounts(missing=6), "the label is missing in every test row"),
    ],
)
def test_a_task_without_a_row_that_counts_is_refused(counts, reason):
    require_counted({"x": LabelCounts(values=1)})
    with pytest.raises(DataError, match=f"task 'y': .*{reason}") as error:
        require_counted({"x": LabelCounts(1), "y": counts}, "test row")
    assert error.value.exit_code == 3
