"""Pooling of the embeddings of a row's list of terms to one vector.

Shape letters: B batch, N places of the longest list, V values of all rows together, K width.
"""

import tensorflow as tf


def pool(
    rows_VK: tf.Tensor,
    ids: tf.Tensor | tf.RaggedTensor,
    pooling: str,
    query_BK: tf.Tensor | None = None,
) -> tf.Tensor:
    """Pools the values of each row; ragged and padded lists alike.

    `attention` is the scaled dot product of Vaswani et al. 2017 (equation 1) with one query q a
    row, and its n values k as both keys and values:

        sum_i a_i k_i,  a_i = exp(q k_i / sqrt(K)) / sum_j exp(q k_j / sqrt(K))

    With the embedding of the candidate as the query it weights a history as DIN does (Zhou et al.
    2018, equation 3), which has a small network in place of the product and no softmax.

    Args:
        rows_VK: Embedding of each value, padding of a dense list included.
        ids: Ids, int64 (B, values): ragged, or dense with 0 as padding, at any place.
        pooling: Kind of pooling: `sum`, `mean` or `attention`.
        query_BK: Query of each row, for `attention` only.

    Returns:
        (B, K); zeros for a row without values.
    """
    if isinstance(ids, tf.RaggedTensor):
        sum_BK, weight_B1 = _sum_ragged(rows_VK, ids, query_BK)
    else:
        sum_BK, weight_B1 = _sum_padded(rows_VK, ids, query_BK)
    # The weights of a row's values sum to 1 at least: the greatest is 1.
    return sum_BK if pooling == "sum" else sum_BK / tf.maximum(weight_B1, 1)


def _sum_ragged(
    rows_VK: tf.Tensor, ids: tf.RaggedTensor, query_BK: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Weighted sum (B, K) of each row's values, and sum (B, 1) of their weights."""
    row_V, num_rows = ids.value_rowids(), ids.nrows()
    if query_BK is None:
        sum_BK = tf.math.unsorted_segment_sum(rows_VK, row_V, num_rows)
        return sum_BK, tf.cast(ids.row_lengths()[:, tf.newaxis], rows_VK.dtype)
    scores_V1 = _scores(rows_VK, tf.gather(query_BK, row_V))
    greatest_B1 = tf.math.unsorted_segment_max(tf.stop_gradient(scores_V1), row_V, num_rows)
    weights_V1 = tf.exp(scores_V1 - tf.gather(greatest_B1, row_V))
    weights_V1 = tf.cast(weights_V1, rows_VK.dtype)
    return (
        tf.math.unsorted_segment_sum(weights_V1 * rows_VK, row_V, num_rows),
        tf.math.unsorted_segment_sum(weights_V1, row_V, num_rows),
    )


def _sum_padded(
    rows_VK: tf.Tensor, ids_BN: tf.Tensor, query_BK: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums as `_sum_ragged` does, for padded lists."""
    shape = tf.concat([tf.shape(ids_BN), [rows_VK.shape[1]]], axis=0)
    rows_BNK = tf.reshape(rows_VK, shape)
    is_value_BN1 = (ids_BN > 0)[:, :, tf.newaxis]
    weights_BN1 = tf.cast(is_value_BN1, rows_VK.dtype)
    if query_BK is not None:
        scores_BN1 = _scores(rows_BNK, query_BK[:, tf.newaxis])
        scores_BN1 = tf.where(is_value_BN1, scores_BN1, scores_BN1.dtype.min)
        greatest_B11 = tf.reduce_max(tf.stop_gradient(scores_BN1), axis=1, keepdims=True)
        weights_BN1 *= tf.cast(tf.exp(scores_BN1 - greatest_B11), rows_VK.dtype)
    return tf.reduce_sum(weights_BN1 * rows_BNK, axis=1), tf.reduce_sum(weights_BN1, axis=1)


def _scores(rows: tf.Tensor, query: tf.Tensor) -> tf.Tensor:
    """Scores q k / sqrt(K), float32 (..., 1), of rows and queries (..., K)."""
    products = tf.reduce_sum(rows * query, axis=-1, keepdims=True)
    return tf.cast(products, tf.float32) / rows.shape[-1] ** 0.5
