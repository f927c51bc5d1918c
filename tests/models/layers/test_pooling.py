"""Pooling lists of embeddings: by hand, ragged and padded, alone and among others."""

import numpy as np
import pytest
import tensorflow as tf

from taskroute.models.layers.pooling import pool

LENGTHS = (3, 0, 1, 7, 0)
WIDTH = 6
POOLINGS = ("sum", "mean", "attention")


@pytest.fixture(scope="module")
def values():
    """Embeddings of each row's values, and a query a row."""
    random = np.random.default_rng(0)
    rows = [random.normal(size=(length, WIDTH)).astype("float32") for length in LENGTHS]
    return rows, random.normal(scale=3, size=(len(LENGTHS), WIDTH)).astype("float32")


def ids_of(rows):
    return tf.RaggedTensor.from_row_lengths(
        tf.range(1, 1 + sum(map(len, rows)), dtype=tf.int64), [len(row) for row in rows]
    )


def pool_ragged(rows, queries, pooling):
    query = tf.constant(queries) if pooling == "attention" else None
    return pool(tf.constant(np.concatenate(rows)), ids_of(rows), pooling, query).numpy()


def pool_padded(rows, queries, pooling, front=0, back=0):
    """Zeros stand before and after the values; their embeddings are not zero."""
    ids = np.pad(ids_of(rows).to_tensor().numpy(), ((0, 0), (front, back)))
    embedded = np.full((*ids.shape, WIDTH), 9.0, "float32")
    for row, one in enumerate(rows):
        embedded[row, front : front + len(one)] = one
    query = tf.constant(queries) if pooling == "attention" else None
    return pool(tf.reshape(embedded, [-1, WIDTH]), tf.constant(ids), pooling, query).numpy()


def by_hand(row, query, pooling):
    if len(row) == 0:
        return np.zeros(WIDTH)
    if pooling == "attention":
        scores = [sum(x * y for x, y in zip(key, query, strict=True)) for key in row]
        weights = [np.exp((score - max(scores)) / WIDTH**0.5) for score in scores]
    else:
        weights = [1.0] * len(row)
    total = sum(weight * key for weight, key in zip(weights, row, strict=True))
    return total if pooling == "sum" else total / sum(weights)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_each_row_is_pooled_as_by_hand(values, pooling):
    rows, queries = values
    expected = [by_hand(row, query, pooling) for row, query in zip(rows, queries, strict=True)]
    np.testing.assert_allclose(pool_ragged(rows, queries, pooling), expected, rtol=1e-4, atol=1e-6)
    for front, back in ((0, 0), (2, 0), (0, 5)):
        padded = pool_padded(rows, queries, pooling, front, back)
        np.testing.assert_allclose(padded, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_row_alone_is_pooled_as_among_others(values, pooling):
    rows, queries = values
    for pooled in (pool_ragged, pool_padded):
        among = pooled(rows, queries, pooling)
        for place in range(len(rows)):
            alone = pooled(rows[place : place + 1], queries[place : place + 1], pooling)
            np.testing.assert_allclose(alone[0], among[place], rtol=1e-6, atol=1e-7)


def test_attention_bears_scores_of_any_size(values):
    rows, queries = values
    for pooled in (pool_ragged, pool_padded):
        sharp = pooled(rows, 1e6 * queries, "attention")
        nearest = rows[3][np.argmax(rows[3] @ queries[3])]
        np.testing.assert_allclose(sharp[3], nearest, rtol=1e-5)
        np.testing.assert_array_equal(sharp[1], np.zeros(WIDTH))
        assert np.all(np.isfinite(pooled(rows, -1e6 * queries, "attention")))


@pytest.mark.parametrize("is_ragged", [True, False])
def test_gradients_of_attention_are_those_of_differences(values, is_ragged):
    rows, queries = values
    ids = ids_of(rows)
    flat = np.concatenate(rows)
    if not is_ragged:
        ids = ids.to_tensor()
        flat = np.random.default_rng(1).normal(size=(tf.size(ids), WIDTH)).astype("float32")

    def total(keys, query):
        return tf.reduce_sum(pool(keys, ids, "attention", query) ** 2)

    theory, numbers = tf.test.compute_gradient(total, [tf.constant(flat), tf.constant(queries)])
    for one, other in zip(theory, numbers, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_batch_without_any_value_is_zeros(pooling):
    rows = [np.zeros((0, WIDTH), "float32")] * 2
    queries = np.ones((2, WIDTH), "float32")
    for pooled in (pool_ragged, pool_padded):
        np.testing.assert_array_equal(pooled(rows, queries, pooling), np.zeros((2, WIDTH)))
