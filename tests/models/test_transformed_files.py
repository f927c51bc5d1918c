"""Parquet files of transformed examples, read in order and shuffled."""

import numpy as np
import pytest
import tensorflow as tf

from taskroute.models import transformed_files
from taskroute.models.transformed_files import read_batches

NUM_ROWS = (700, 50, 1_000)
SPEC = {
    "row": tf.io.FixedLenFeature([], tf.int64),
    "age": tf.io.FixedLenFeature([], tf.float32),
    "tags": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory, write_transformed):
    folder = tmp_path_factory.mktemp("files")
    first = 0
    for index, count in enumerate(NUM_ROWS):
        rows = np.arange(first, first + count)
        columns = {
            "unread": rows,
            "row": rows,
            "age": rows / 7,
            "tags": [[row] * (row % 4) for row in rows],
        }
        write_transformed(folder / f"{index}.parquet", columns)
        first += count
    return [str(folder / f"{index}.parquet") for index in range(len(NUM_ROWS))]


@pytest.fixture(autouse=True)
def small_buffers(monkeypatch):
    """So that a pass needs many of them."""
    monkeypatch.setattr(transformed_files, "_READ_ROWS", 64)
    monkeypatch.setattr(transformed_files, "_SHUFFLE_ROWS", 300)
    monkeypatch.setattr(transformed_files, "_OPEN_FILES", 2)


def rows_of(dataset):
    return np.concatenate([batch["row"].numpy() for batch in dataset]).tolist()


@pytest.mark.parametrize("batch_size", [1, 33, 64, 1_000, 10_000])
def test_every_row_comes_once_in_its_order_and_batches_are_full(files, batch_size):
    sizes, found = [], []
    for batch in read_batches(files, SPEC, batch_size=batch_size):
        sizes.append(len(batch["row"]))
        found += batch["row"].numpy().tolist()
    assert found == list(range(sum(NUM_ROWS)))
    full, rest = divmod(sum(NUM_ROWS), batch_size)
    assert sizes == [batch_size] * full + [rest] * (rest > 0)


@pytest.mark.parametrize("seed", [None, 5])
def test_the_columns_of_a_row_stay_together(files, seed):
    for batch in read_batches(files, SPEC, batch_size=100, shuffle_seed=seed):
        rows = batch["row"].numpy()
        assert set(batch) == set(SPEC)
        assert batch["age"].dtype == tf.float32
        np.testing.assert_allclose(batch["age"], rows / 7, rtol=1e-6)
        assert batch["tags"].to_list() == [[row] * (row % 4) for row in rows]


def test_shuffled_rows_come_once_in_full_batches(files):
    dataset = read_batches(files, SPEC, batch_size=100, shuffle_seed=5)
    sizes = [len(batch["row"]) for batch in dataset]
    assert sizes == [100] * 17 + [50]
    rows = rows_of(read_batches(files, SPEC, batch_size=100, shuffle_seed=5))
    assert sorted(rows) == list(range(sum(NUM_ROWS)))
    assert abs(np.corrcoef(rows[:600], np.arange(600))[0, 1]) < 0.5
    first_batch = rows[:100]
    assert max(first_batch) - min(first_batch) > 500  # of two files


def test_a_pass_is_shuffled_as_the_seed_says_and_the_next_one_anew(files):
    first, second = (read_batches(files, SPEC, batch_size=64, shuffle_seed=9) for _ in range(2))
    a, b = rows_of(first), rows_of(first)
    assert a != b
    assert [rows_of(second), rows_of(second)] == [a, b]
    assert rows_of(read_batches(files, SPEC, batch_size=64, shuffle_seed=8)) != a
    assert rows_of(read_batches(files, SPEC, batch_size=64, shuffle_seed=9).repeat(2)) == a + b
