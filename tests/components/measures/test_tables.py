"""Counts of rows."""

import numpy as np
import pyarrow as pa
import pytest

from taskroute.components.logs.hashes import hash_texts
from taskroute.components.measures.jackknife import NUM_GROUPS
from taskroute.components.measures.rows import row_hashes
from taskroute.components.measures.tables import (
    SERVING_SIGNALS,
    SPLIT_SIGNALS,
    ColumnPlan,
    add,
    count_columns,
    count_task,
    groups_of,
    has_predictions,
    in_order,
    num_rows,
    select,
    without_model,
)
from taskroute.schemas.change_record import Histogram

BATCH = pa.RecordBatch.from_arrays(
    [
        pa.array([[b"u1"], [b"u2"], [b"u1"], None, [b"u2"]], pa.list_(pa.binary())),
        pa.array([[b"a", b"b"], [b"z"], None, [b"a"], [b"q", b"q"]], pa.list_(pa.binary())),
        pa.array([[20.0], None, [40.0], [50.0], None], pa.list_(pa.float32())),
        pa.array([[1.0], [0.0], None, None, None], pa.list_(pa.float32())),
    ],
    names=["user", "tags", "age", "clicked"],
)
PLAN = ColumnPlan(
    histograms=(
        Histogram(column="tags", terms=("a", "b")),
        Histogram(column="age", boundaries=(30.0,)),
    ),
    label_columns=("clicked",),
    vocabularies={"tags": np.sort(hash_texts(pa.array([b"a", b"z"], pa.binary())))},
    group_key="user",
)


def counted(batch=BATCH, plan=PLAN, start=0):
    rows = row_hashes(0, start, batch.num_rows)
    return count_columns(plan, batch, groups_of(plan, batch, rows))


def test_missing_values_cells_and_unknown_terms_are_counted():
    sums = {key: table.sum(axis=0).tolist() for key, table in counted().items()}
    assert sums == {
        ("missing", "tags"): [1, 5],
        ("drift", "tags"): [2, 1, 3],
        ("oov", "tags"): [3, 6],  # b, q and q of six terms
        ("missing", "age"): [2, 5],
        ("drift", "age"): [1, 2],
        ("label_delay", "clicked"): [3, 5],
    }


def test_rows_of_a_unit_are_in_one_group_and_a_row_without_one_is_its_own():
    rows = row_hashes(0, 0, 5)
    groups = groups_of(PLAN, BATCH, rows)
    assert groups[3] == rows[3] % np.uint64(NUM_GROUPS)
    assert groups[0] == groups[2] != groups[1] == groups[4]
    assert all(table.shape[0] == NUM_GROUPS for table in counted().values())


def test_a_number_may_be_the_unit():
    plan = ColumnPlan(histograms=(), group_key="age")
    batch = pa.Table.from_batches([BATCH, BATCH]).combine_chunks().to_batches()[0]
    groups = groups_of(plan, batch, row_hashes(0, 0, 10))
    is_known = np.array(batch["age"].is_valid())[:5]
    assert (groups[:5] == groups[5:])[is_known].all()
    assert len(set(groups[:5][is_known])) == 3
    assert (groups[:5] != groups[5:])[~is_known].all()


def test_without_a_unit_each_row_is_its_own():
    plan = ColumnPlan(histograms=())
    groups = groups_of(plan, BATCH.slice(0, 0), row_hashes(0, 0, 0))
    assert groups.shape == (0,)
    many = row_hashes(0, 0, 3200)
    shares = np.bincount((many % np.uint64(NUM_GROUPS)).astype(int), minlength=NUM_GROUPS)
    assert shares.min() > 60


def test_batches_add_up():
    parts = [counted(BATCH.slice(start, 2), start=start) for start in (0, 2, 4)]
    whole, summed = counted(), add(parts)
    assert summed.keys() == whole.keys()
    for key, table in whole.items():
        np.testing.assert_array_equal(summed[key], table)


def test_labels_count_by_weight_and_predictions_of_all_rows():
    labels = np.array([1.0, 0.0, 1.0, np.nan])
    weights = np.array([2.0, 1.0, 1.0, 0.0])
    predictions = np.array([0.5, 0.1, np.nan, 0.2])
    groups = np.array([0, 1, 2, 3])
    tables = count_task("click", "binary", labels, weights, predictions, groups)
    sums = {key: table.sum(axis=0) for key, table in tables.items()}
    assert sums["label_rate", "click"].tolist() == [3, 4]
    assert sums["prediction_mean", "click"] == pytest.approx([0.8, 3])
    # The third row's prediction is none: neither it nor its label counts.
    assert sums["calibration", "click"] == pytest.approx([2 * 0.5 + 0.1, 2])
    assert sums["prediction_drift", "click"].sum() == 3


@pytest.mark.parametrize(("kind", "kept"), [("binary", 1), ("regression", 3)])
def test_a_prediction_that_the_task_does_not_allow_is_left_out(kind, kept):
    predictions = np.array([0.5, 1.5, -1.0, np.inf])
    zeros = np.zeros(4)
    tables = count_task("a", kind, zeros, zeros, predictions, np.arange(4))
    assert tables["prediction_mean", "a"].sum(axis=0)[1] == kept


def test_without_a_model_only_labels_are_counted():
    tables = count_task("a", "binary", np.ones(2), np.ones(2), None, np.arange(2))
    assert list(tables) == [("label_rate", "a")]
    assert not has_predictions({"1": tables})


def test_a_serving_log_is_compared_by_values_and_missing_ones():
    assert set(select(counted(), SERVING_SIGNALS)) == {
        *(("skew", name) for name in ("tags", "age")),
        *(("missing", name) for name in ("tags", "age")),
    }


def test_splits_are_compared_by_values():
    shifts = select(counted(), SPLIT_SIGNALS)
    assert set(shifts) == {("split_shift", "tags"), ("split_shift", "age")}


def test_rows_are_counted_once():
    assert num_rows(counted()) == 5


@pytest.mark.parametrize("spans", [["8", "9", "10"], ["2026-01-31", "2026-02-01"]])
def test_spans_are_in_the_order_of_time(spans):
    assert in_order(reversed(spans)) == spans


def test_without_the_model_what_the_log_says_is_left():
    found = counted()
    assert ("oov", "tags") in found
    assert set(without_model(found)) == set(found) - {("oov", "tags")}
    labels = np.zeros(5)
    task = count_task("click", "binary", labels, labels + 1, labels + 0.5, np.zeros(5, np.int64))
    assert set(without_model(task)) == {("label_rate", "click")}
