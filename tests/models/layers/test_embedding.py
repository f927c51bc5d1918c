import numpy as np
import pytest
import tensorflow as tf

from taskroute.models.layers.embedding import FeatureEmbedding
from taskroute.schemas.features import CategoricalFeature, DenseFeature, MultivalentFeature


def categorical(name, dim=2):
    return CategoricalFeature(name=name, kind="categorical", hash_buckets=3, embedding_dim=dim)


def tags(pooling):
    return MultivalentFeature(
        name="tags", kind="multivalent", hash_buckets=3, embedding_dim=2, pooling=pooling
    )


def test_features_of_one_width_share_a_table_and_not_a_row():
    layer = FeatureEmbedding([categorical("a"), categorical("b")], {"a": 4, "b": 4})
    layer.build()
    layer.tables["2"].assign(tf.reshape(tf.range(16.0), [8, 2]))
    inputs = {"a": tf.constant([0, 3], tf.int64), "b": tf.constant([0, 3], tf.int64)}
    np.testing.assert_array_equal(layer(inputs), [[0, 1, 8, 9], [6, 7, 14, 15]])


@pytest.mark.parametrize(("pooling", "second"), [("mean", [3, 4]), ("sum", [6, 8])])
def test_terms_are_pooled_and_an_empty_list_is_zero(pooling, second):
    layer = FeatureEmbedding([tags(pooling)], {"tags": 4})
    layer.build()
    layer.tables["2"].assign(tf.reshape(tf.range(8.0), [4, 2]))
    ids = tf.ragged.constant([[], [1, 2], [3]], dtype=tf.int64, row_splits_dtype=tf.int64)
    expected = [[0, 0], second, [6, 7]]
    np.testing.assert_array_equal(layer({"tags": ids}), expected)


def test_numbers_stand_beside_their_missing_flags():
    layer = FeatureEmbedding([DenseFeature(name="age", kind="dense")], {})
    outputs = layer({"age": tf.constant([2.0, 0.0]), "age_missing": tf.constant([0.0, 1.0])})
    np.testing.assert_array_equal(outputs, [[2, 0], [0, 1]])


def test_a_batch_touches_only_the_rows_it_holds():
    layer = FeatureEmbedding([categorical("a"), tags("mean")], {"a": 4, "tags": 4})
    inputs = {
        "a": tf.constant([1], tf.int64),
        "tags": tf.ragged.constant([[2]], dtype=tf.int64, row_splits_dtype=tf.int64),
    }
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs))
    (gradient,) = tape.gradient(loss, layer.trainable_variables)
    assert isinstance(gradient, tf.IndexedSlices)
    assert sorted(gradient.indices.numpy()) == [1, 4 + 2]


def test_a_feature_without_a_number_of_ids_is_refused():
    with pytest.raises(ValueError, match="Received"):
        FeatureEmbedding([categorical("a")], {})


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_a_list_filled_up_with_zeros_is_pooled_as_a_ragged_one(pooling):
    layer = FeatureEmbedding([categorical("a"), tags(pooling)], {"a": 4, "tags": 4})
    layer.build()
    ragged = tf.ragged.constant([[], [1, 2], [3]], dtype=tf.int64, row_splits_dtype=tf.int64)
    single = tf.constant([1, 0, 2], tf.int64)
    expected = layer({"a": single, "tags": ragged})
    np.testing.assert_allclose(layer({"a": single, "tags": ragged.to_tensor()}), expected)
    nothing = tf.zeros([3, 0], tf.int64)
    np.testing.assert_allclose(layer({"a": single, "tags": nothing})[0], expected[0])
