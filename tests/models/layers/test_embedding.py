import numpy as np
import pytest
import tensorflow as tf

from taskroute.models.layers.embedding import FeatureEmbedding, TableRows, table_rows
from taskroute.models.layers.hashing import make_salt
from taskroute.schemas.embedding_tables import EmbeddingTable
from taskroute.schemas.features import (
    CategoricalFeature,
    DenseFeature,
    MultivalentFeature,
    SequenceFeature,
)


def categorical(name, dim=2):
    return CategoricalFeature(name=name, kind="categorical", hash_buckets=3, embedding_dim=dim)


def tags(pooling):
    return MultivalentFeature(
        name="tags", kind="multivalent", hash_buckets=3, embedding_dim=2, pooling=pooling
    )


def history(shares=None, pooling="attention", **ids):
    return SequenceFeature(name="history", kind="sequence", shares=shares, pooling=pooling, **ids)


def ragged(lists):
    return tf.ragged.constant(lists, dtype=tf.int64, row_splits_dtype=tf.int64)


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


def test_rows_of_a_table_stand_in_the_order_of_the_features():
    features = [categorical("a"), history("b"), categorical("c", dim=5), categorical("b")]
    assert table_rows(features, {"a": 4, "history": 7, "c": 3, "b": 7}) == {
        "a": TableRows(width=2, first=0, number=4),
        "history": TableRows(width=2, first=4, number=7),
        "c": TableRows(width=5, first=0, number=3),
        "b": TableRows(width=2, first=4, number=7),
    }


def test_a_shared_feature_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="'a', which 'history' shares"):
        FeatureEmbedding([history("a"), categorical("b")], {"b": 4, "history": 4})


def test_a_term_has_one_row_in_both_features():
    layer = FeatureEmbedding([history("a", "mean"), categorical("a")], {"a": 4, "history": 4})
    layer.build()
    assert layer.tables["2"].shape == (4, 2)
    layer.tables["2"].assign(tf.reshape(tf.range(8.0), [4, 2]))
    outputs = layer({"a": tf.constant([2, 0], tf.int64), "history": ragged([[2, 3], []])})
    np.testing.assert_array_equal(outputs, [[4, 5, 5, 6], [0, 1, 0, 0]])


def test_attention_asks_with_the_term_of_the_feature_that_is_shared():
    features = [categorical("b"), history("a"), categorical("a")]
    layer = FeatureEmbedding(features, {"b": 4, "a": 4, "history": 4})
    layer.build()
    assert not layer.queries
    table = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    layer.tables["2"].assign(table)
    ids = {"b": tf.constant([1, 2, 0], tf.int64), "a": tf.constant([3, 1, 0], tf.int64)}
    lists = [[1, 2, 2], [], [3, 1]]
    rows_of_a = table[4:]
    for row, (candidate, past) in enumerate(zip([3, 1, 0], lists, strict=True)):
        keys = rows_of_a[past]
        weights = np.exp(keys @ rows_of_a[candidate] / np.sqrt(2))
        expected = weights @ keys / weights.sum() if past else np.zeros(2)
        for values in (ragged(lists), ragged(lists).to_tensor()):
            outputs = layer({**ids, "history": values})
            np.testing.assert_allclose(outputs[row, 4:], expected, rtol=1e-5)


@pytest.mark.parametrize("own", [{"hash_buckets": 3, "embedding_dim": 2}, {"shares": "tags"}])
def test_without_a_term_to_ask_with_attention_learns_a_query(own):
    layer = FeatureEmbedding([tags("mean"), history(**own)], {"tags": 4, "history": 4})
    inputs = {"tags": ragged([[1]]), "history": ragged([[1, 3]])}
    before = layer(inputs).numpy()
    rows = layer.tables["2"].numpy()[layer.rows["history"].first :]
    np.testing.assert_allclose(before[0, 2:], rows[[1, 3]].mean(axis=0), rtol=1e-5)
    layer.queries["history"].assign(1e7 * (rows[3] - rows[1]))
    np.testing.assert_allclose(layer(inputs)[0, 2:], rows[3], rtol=1e-5)
    assert len(layer.trainable_variables) == 2


def test_attention_counts_its_products():
    target = FeatureEmbedding([history("a"), categorical("a")], {"a": 4, "history": 4})
    assert target.macs() == 2 * 50 * 2
    assert FeatureEmbedding([tags("mean")], {"tags": 4}).macs() == 0


TABLE = EmbeddingTable(name="ids", rows=50, embedding_dim=4, num_hashes=2)


def hashed(name, kind=CategoricalFeature, **fields):
    label = "categorical" if kind is CategoricalFeature else "sequence"
    return kind(name=name, kind=label, table="ids", **fields)


def hashed_layer(*features):
    """Its table holds the number of the row, and the same with a half."""
    layer = FeatureEmbedding(features, {f.name: 2**52 + 1 for f in features}, [TABLE])
    layer.build()
    number = np.arange(layer.tables["2"].shape[0], dtype=np.float32)
    layer.tables["2"].assign(np.stack([number, number + 0.5], axis=1))
    return layer


def rows_of(layer, feature, *ids):
    return layer.rows[feature].find(tf.constant(ids, tf.int64)).numpy()


def test_a_hashed_embedding_is_its_rows_one_after_the_other():
    layer = hashed_layer(hashed("a"))
    outputs = layer({"a": tf.constant([0, 2**52], tf.int64)}).numpy()
    for output, (first, second) in zip(outputs, rows_of(layer, "a", 0, 2**52), strict=True):
        assert output.tolist() == [first, first + 0.5, second, second + 0.5]
    assert layer.output_width == 4


def test_hashed_rows_stand_among_others_of_their_width_and_once_for_all_features():
    features = [categorical("a"), hashed("b"), categorical("c"), hashed("d"), categorical("e", 4)]
    num_ids = dict.fromkeys("abcde", 4)
    salts = {name: (make_salt(name, 0), make_salt(name, 1)) for name in "bd"}
    assert table_rows(features, num_ids, [TABLE]) == {
        "a": TableRows(width=2, first=0, number=4),
        "b": TableRows(width=2, first=4, number=50, salts=salts["b"]),
        "c": TableRows(width=2, first=54, number=4),
        "d": TableRows(width=2, first=4, number=50, salts=salts["d"]),
        "e": TableRows(width=4, first=0, number=4),
    }
    layer = FeatureEmbedding(features, num_ids, [TABLE])
    layer.build()
    assert {name: table.shape.as_list() for name, table in layer.tables.items()} == {
        "2": [58, 2],
        "4": [4, 4],
    }
    assert layer.output_width == 2 + 4 + 2 + 4 + 4
    assert layer.embedded_widths == [2, 4, 2, 4, 4]


def test_terms_of_a_feature_that_shares_have_the_rows_of_the_other_and_a_table_alone_gives_none():
    history = hashed("c", SequenceFeature)
    shares = SequenceFeature(name="b", kind="sequence", shares="a")
    layer = hashed_layer(hashed("a"), shares, history)
    ids = ragged([[7]])
    outputs = layer({"a": tf.constant([7], tf.int64), "b": ids, "c": ids}).numpy()
    single, sharing, apart = np.split(outputs[0], 3)
    np.testing.assert_array_equal(single, sharing)
    assert not np.array_equal(single, apart)


@pytest.mark.parametrize("pooling", ["mean", "sum", "attention"])
def test_lists_of_hashed_terms_are_pooled_as_their_whole_embeddings(pooling):
    layer = hashed_layer(
        SequenceFeature(name="b", kind="sequence", shares="a", pooling=pooling), hashed("a")
    )
    layer.tables["2"].assign(np.random.default_rng(0).normal(size=(50, 2)))
    ids, lists = tf.constant([5, 6, 0], tf.int64), [[5, 9, 9], [], [2**52]]
    table = layer.tables["2"].numpy()
    for values in (ragged(lists), ragged(lists).to_tensor()):
        outputs = layer({"a": ids, "b": values}).numpy()
        for output, candidate, terms in zip(outputs, [5, 6, 0], lists, strict=True):
            query = table[rows_of(layer, "a", candidate)[0]].reshape(-1)
            np.testing.assert_allclose(output[:4], query, rtol=1e-6)
            keys = table[rows_of(layer, "a", *terms)].reshape(-1, 4)
            weights = np.exp(keys @ query / 2) if pooling == "attention" else np.ones(len(keys))
            total = weights.sum() if pooling != "sum" else 1.0
            expected = weights @ keys / total if terms else np.zeros(4)
            np.testing.assert_allclose(output[4:], expected, rtol=1e-4, atol=1e-6)


def test_a_gradient_reaches_all_rows_of_the_terms_of_a_batch_and_no_other():
    layer = hashed_layer(hashed("a"), hashed("b", SequenceFeature))
    inputs = {"a": tf.constant([3, 4], tf.int64), "b": ragged([[8, 9, 10], []])}
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs))
    (gradient,) = tape.gradient(loss, layer.trainable_variables)
    assert isinstance(gradient, tf.IndexedSlices)
    used = [*rows_of(layer, "a", 3, 4).flat, *rows_of(layer, "b", 8, 9, 10).flat]
    touched = tf.convert_to_tensor(gradient).numpy().any(axis=1)
    assert np.flatnonzero(touched).tolist() == sorted(set(used))


def test_a_feature_whose_table_is_not_there_is_refused():
    with pytest.raises(ValueError, match="must hold 'ids'"):
        FeatureEmbedding([hashed("a")], {"a": 4})
