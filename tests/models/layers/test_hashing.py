"""Rows of an id: by hand, for ever the same, shared with others no more than by chance."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_recommenders.layers.feature_multiplexing import UnifiedEmbeddingConfig

from taskroute.models.layers.hashing import hashed_rows, make_salt

BITS = 2**64


def by_hand(number, salt, num_rows):
    number ^= salt
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        number ^= number >> 33
        number = number * multiplier % BITS
    number ^= number >> 33
    return (number >> 32) * num_rows >> 32


def rows(ids, feature="user", num_hashes=1, num_rows=1_000):
    salts = [make_salt(feature, place) for place in range(num_hashes)]
    return hashed_rows(tf.constant(ids, tf.int64), salts, num_rows).numpy()


def same_pairs(values):
    """Number of equal pairs of rows of `values`."""
    counts = np.unique(values, return_counts=True, axis=0)[1].astype(float)
    return (counts * (counts - 1) / 2).sum()


def assert_by_chance(count, expected):
    """Checks that a number of independent rare events is as expected, within five deviations."""
    assert abs(count - expected) < 5 * np.sqrt(expected) + 1


@given(ids=st.lists(st.integers(0, 2**52), min_size=1, max_size=5), num_rows=st.integers(1, 2**31))
@settings(max_examples=50, deadline=None)
def test_rows_are_those_of_whole_numbers_in_python(ids, num_rows):
    salts = [make_salt("item", 0), make_salt("item", 1)]
    expected = [[by_hand(number, salt, num_rows) for salt in salts] for number in ids]
    found = rows(ids, "item", 2, num_rows)
    assert found.tolist() == expected
    graph = tf.function(lambda x: hashed_rows(x, salts, num_rows))
    assert graph(tf.constant(ids, tf.int64)).numpy().tolist() == expected
    assert found.min() >= 0
    assert found.max() < num_rows


def test_rows_are_for_ever_the_same():
    """Warm starts rest on it: a model that served yesterday must find its rows today."""
    found = rows([0, 1, 2**52], "user", 2, 10_000)
    assert found.tolist() == [[6849, 8509], [863, 6314], [2214, 1460]]


@pytest.mark.parametrize("ids", [range(1, 200_001), range(0, 2**50, 2**50 // 200_000)])
def test_ids_fall_on_all_rows_alike(ids):
    counts = np.bincount(rows(list(ids))[:, 0], minlength=1_000)
    expected = len(ids) / 1_000
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    # 999 degrees of freedom: their deviation is 45.
    assert abs(chi_squared - 999) < 5 * np.sqrt(2 * 999)


def test_ids_that_share_a_row_share_another_by_chance_only():
    found = rows(list(range(50_000)), num_hashes=3)
    pairs = 50_000 * 49_999 / 2
    for first, second in itertools.combinations(range(3), 2):
        assert_by_chance(same_pairs(found[:, [first]]), pairs / 1_000)
        assert_by_chance(same_pairs(found[:, [first, second]]), pairs / 1_000**2)


def meetings(left, right):
    """Rate at which an id of one feature and one of another have the same row."""
    counts = [np.bincount(values, minlength=1_000).astype(float) for values in (left, right)]
    return counts[0] @ counts[1]


def test_two_features_in_one_table_meet_no_more_than_by_chance_nor_more_than_in_the_library():
    config = UnifiedEmbeddingConfig(1_000, 4, 1, "ids")
    theirs, ours = [], []
    ids = list(range(3_000))
    for feature in ("user", "item"):
        config.add_feature(feature, 1)
        ((hashing),) = config.hashing_config[feature].values()
        theirs.append(keras.layers.Hashing(**hashing)(tf.constant(ids)).numpy())
        ours.append(rows(ids, feature)[:, 0])
    # The same ids, and yet they meet as if they were others.
    for left, right in (theirs, ours):
        assert_by_chance(np.count_nonzero(left == right), 3_000 / 1_000)
        assert_by_chance(meetings(left, right), 3_000**2 / 1_000)


def test_the_librarys_hash_of_an_id_is_one_of_its_text():
    """Reason for a hash of our own: a graph for a GPU may hold no text."""
    layer = keras.layers.Hashing(num_bins=10, salt=[0, 0])
    assert tf.string in kinds(layer)
    assert kinds(lambda ids: hashed_rows(ids, [1, 2], 10)) == {tf.int64, tf.uint64, tf.int32}


def kinds(function):
    graph = tf.function(function).get_concrete_function(tf.TensorSpec([None], tf.int64)).graph
    return {tensor.dtype for op in graph.get_operations() for tensor in op.outputs}


def test_a_feature_has_salts_of_its_own_for_each_row():
    salts = {make_salt(name, place) for name in ("a", "b", "a1") for place in range(20)}
    assert len(salts) == 60
    assert all(0 <= salt < BITS for salt in salts)
