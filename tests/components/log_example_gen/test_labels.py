"""The checks of binary labels."""

from pathlib import Path

import pyarrow as pa
import pytest

from taskroute.components.log_example_gen.labels import (
    MISSING,
    LabelCounts,
    check_both_classes,
    count_labels,
    read_labels,
)
from taskroute.components.log_example_gen.log_reader import LogBatch
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.tasks import Label, Task


def _labels(values, at_least=None):
    batch = LogBatch(Path("log.csv"), 11, pa.record_batch({"y": pa.array(values)}))
    converted = batch.convert([RawColumn("y", "number")])
    task = Task(name="click", label=Label(column="y", at_least=at_least))
    return read_labels(batch, converted, [task])["click"]


def test_zeros_ones_and_missing_are_told_apart():
    labels = _labels([0.0, 1.0, None, 1.0])
    assert labels.tolist() == [0, 1, MISSING, 1]
    assert count_labels(labels) == LabelCounts(negatives=1, positives=2, missing=1)


def test_at_least_makes_labels_from_a_number():
    assert _labels([29.9, 30.0, None, 0.0, 31.0], at_least=30).tolist() == [0, 1, MISSING, 0, 1]


def test_at_least_is_compared_in_float32_as_the_graph_does():
    assert _labels([0.1], at_least=0.1).tolist() == [1]


def test_a_label_that_is_neither_zero_nor_one_is_named():
    with pytest.raises(DataError) as error:
        _labels([0.0, None, 1.0, 0.5, 7.0])
    assert str(error.value) == (
        "log.csv: row 14, column 'y': a label must be 0 or 1, not 0.5; give `at_least` to make "
        "one from a number"
    )


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
