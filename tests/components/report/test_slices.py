"""The order of slices."""

import pytest

from taskroute.components.report.slices import worst_first
from taskroute.schemas.evaluation_record import (
    Interval,
    MeasuredSlice,
    MeasuredTask,
    Measurements,
    TaskMetrics,
)


def _metrics(kind, metric, value, low=None, high=None, rows=10):
    interval = {}
    if low is not None:
        interval = {metric: Interval(low=low, high=high, standard_error=0.1, degrees_of_freedom=9)}
    return TaskMetrics(
        kind=kind,
        num_examples=rows,
        weight=rows,
        num_invalid=0,
        values={metric: value},
        undefined={},
        intervals=interval,
    )


def _measurements(kind, metric, overall, slices):
    return Measurements(
        split="test",
        num_examples=100,
        seconds=1.0,
        compared={"t": MeasuredTask(candidate=_metrics(kind, metric, overall))},
        slices=tuple(
            MeasuredSlice(column="c", value=value, tasks={"t": MeasuredTask(candidate=metrics)})
            for value, metrics in slices.items()
        ),
    )


def test_slices_shown_to_be_worse_come_before_low_values_by_chance():
    found = _measurements(
        "binary",
        "auc",
        0.8,
        {
            "good": _metrics("binary", "auc", 0.9, 0.85, 0.95),
            "few": _metrics("binary", "auc", 0.3, 0.1, 0.9),
            "bad": _metrics("binary", "auc", 0.7, 0.65, 0.75),
            "undefined": _metrics("binary", "auc", None),
            "empty": _metrics("binary", "auc", None, rows=0),
            "": _metrics("binary", "auc", 0.85, 0.7, 0.9),
        },
    )
    ranked = worst_first(found, "t")
    assert [one.name for one in ranked] == [
        *("c=bad", "c=few", "c missing", "c=good", "c=undefined"),
    ]
    assert [one.is_worse for one in ranked] == [True, False, False, False, False]


@pytest.mark.parametrize(("low", "high", "is_worse"), [(11, 14, True), (9, 14, False)])
def test_of_an_error_more_is_worse(low, high, is_worse):
    slices = {
        "a": _metrics("regression", "mae", 9.0, 8, 10),
        "b": _metrics("regression", "mae", 12.0, low, high),
    }
    ranked = worst_first(_measurements("regression", "mae", 10.0, slices), "t")
    assert [one.name for one in ranked] == ["c=b", "c=a"]
    assert ranked[0].is_worse == is_worse
