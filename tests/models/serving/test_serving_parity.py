"""One row has one score: in the trainer and in a process that has none of our code."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served_shop import (
    CONFIG,
    EDGE_ROWS,
    LISTS,
    NUMBERS,
    OUTPUTS,
    REQUEST_COLUMNS,
    SIGNATURES,
    TEXTS,
    as_list,
    raw_request,
    raw_rows,
    to_example,
    transformed_request,
)
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from taskroute.components.logs.example_tensors import sparse_columns
from taskroute.components.transform import materialization

# Served as `e^f - 1` and `e^f` of the model's sums f.
EXPONENTIAL_OUTPUTS = ("watch_time", "seconds_by_weighted_logistic")


@pytest.fixture(scope="module")
def stage(world):
    """Transform on batches of raw examples."""
    work = materialization._Materialize(str(world[0] / "transform"))
    work.setup()
    return work


SCORE_ALONE = """
import json, sys
import tensorflow as tf
assert not any(name.startswith("taskroute") for name in sys.modules)
folder, requests, scores = sys.argv[1:]
model = tf.saved_model.load(folder)
with open(requests) as file:
    request = json.load(file)
examples = tf.constant([bytes.fromhex(text) for text in request["examples"]])
types = {"text": tf.string, "number": tf.float32, "id": tf.int64}
inputs = {signature: {name: tf.constant(values, types[kind])
                      for name, (kind, values) in request[signature].items()}
          for signature in ("raw_features", "transformed_features")}
answers = {
    "serving_default": model.signatures["serving_default"](examples=examples),
    "raw_features": model.signatures["raw_features"](**inputs["raw_features"]),
    "transformed_features":
        model.signatures["transformed_features"](**inputs["transformed_features"]),
}
with open(scores, "w") as file:
    json.dump({name: {task: values.numpy().tolist() for task, values in answer.items()}
               for name, answer in answers.items()}, file)
"""


@pytest.fixture(scope="module")
def served(world):
    """Scores by signature and task, from a process that cannot import taskroute."""
    folder, rows, in_beam, _ = world
    requests = [{k: v for k, v in row.items() if k in REQUEST_COLUMNS} for row in rows]
    content = {
        "examples": [to_example(row).hex() for row in requests],
        "raw_features": raw_request(rows),
        "transformed_features": transformed_request(in_beam),
    }
    (folder / "requests.json").write_text(json.dumps(content))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TF_USE", "PYTHON"))}
    program = folder / "alone.py"
    program.write_text(SCORE_ALONE)
    subprocess.run(
        [sys.executable, program, folder / "model", folder / "requests.json", folder / "scores"],
        check=True,
        env=environment,
    )
    return json.loads((folder / "scores").read_text())


@pytest.mark.parametrize("signature", SIGNATURES)
@pytest.mark.parametrize("task", OUTPUTS)
def test_the_served_score_is_the_trainers(world, served, signature, task):
    _, rows, _, expected = world
    scores = np.array(served[signature][task])
    assert scores.shape == (len(rows),)
    np.testing.assert_allclose(scores, expected[task].numpy(), rtol=1e-5, atol=1e-6)


def test_scores_differ_between_rows(served):
    for task in CONFIG.tasks:
        assert np.std(served["serving_default"][task.name]) > 1e-3


def test_missing_is_not_zero_and_not_unknown(world):
    _, rows, in_beam, _ = world
    missing, unknown = in_beam[len(rows) - len(EDGE_ROWS)], in_beam[len(rows) - len(EDGE_ROWS) + 1]
    assert missing["item"] == missing["user"] == missing["hour"] == 0
    assert unknown["item"] > 0
    assert unknown["hour"] == 2  # a boundary belongs to the bucket above it
    assert missing["age_missing"] == 1
    assert missing["age"] == 0
    last = in_beam[-2]
    assert last["age_missing"] == 0
    assert last["age"] != 0


def test_a_sequence_has_the_last_terms_by_the_ids_of_the_feature_it_shares(world):
    folder, rows, in_beam, _ = world
    items, tags = (
        (folder / f"analysis/vocabulary_{name}").read_text().split() for name in ("item", "tags")
    )
    assert "i12" in items  # in a history alone
    assert "d" in tags
    for row, transformed in zip(rows, in_beam, strict=True):
        if row.get("item") in items:
            assert transformed["item"] == 1 + items.index(row["item"])
        for name, count, terms in (("history", 3, items), ("tags_seen", 2, tags)):
            kept = as_list(row.get(name))[-count:]
            ids = transformed[name].tolist()
            assert len(ids) == len(kept)
            assert [number for term, number in zip(kept, ids, strict=True) if term in terms] == [
                1 + terms.index(term) for term in kept if term in terms
            ]
            assert all(number > 0 for number in ids)


def test_a_term_of_a_table_has_its_hash_for_an_id_and_a_rare_one_an_oov_bucket(world):
    folder, rows, in_beam, _ = world
    items = (folder / "analysis/vocabulary_known_item").read_text().split()

    def id_of(term, is_known=True):
        return 1 + int(tf.strings.to_hash_bucket_fast(term, 2**52 if is_known else 2))

    unknown = set()
    for row, transformed in zip(rows, in_beam, strict=True):
        if row.get("user"):
            assert transformed["any_user"] == id_of(row["user"])
        tags = [term for term in row.get("tags", []) if term]
        assert transformed["any_tags"].tolist() == [id_of(term) for term in tags]
        past = as_list(row.get("history"))[-3:]
        assert transformed["known_history"].tolist() == [id_of(x, x in items) for x in past]
        item = row.get("item")
        if item and item not in items:
            unknown.add(int(transformed["known_item"]))
            assert transformed["known_item"] == id_of(item, is_known=False)
    assert unknown
    assert unknown <= {1, 2}


def test_rows_of_a_table_are_found_without_text_sparse_values_or_tables_of_terms(world):
    """So that all of `transformed_features` may run on a GPU."""
    model = saved_model_pb2.SavedModel.FromString((world[0] / "model/saved_model.pb").read_bytes())
    (graph,) = model.meta_graphs
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    output = graph.signature_def["transformed_features"].outputs["click"].name.partition(":")[0]
    (call,) = (node for node in graph.graph_def.node if node.name == output)
    name = call.attr["f"].func.name
    found, left = set(), [name]
    while left:
        for node in functions[left.pop()].node_def:
            found.add(node.op)
            assert not any(kind == types_pb2.DT_STRING for kind in kinds_of(node)), node.name
            left += [value.func.name for value in node.attr.values() if value.func.name]
    assert {"BitwiseXor", "RightShift", "ResourceGather"} <= found
    assert not [op for op in found if "String" in op or "Sparse" in op or "Lookup" in op]


def kinds_of(node):
    return [kind for value in node.attr.values() for kind in (value.type, *value.list.type)]


@pytest.mark.parametrize("name", ["history", "tags_seen"])
def test_a_history_moves_the_scores_of_the_rows_that_have_one(loaded, world, name):
    _, rows, in_beam, expected = world
    inputs = {
        key: tf.constant(values, tf.int64 if kind == "id" else tf.float32)
        for key, (kind, values) in transformed_request(in_beam).items()
    }
    inputs[name] = tf.zeros([len(rows), 0], tf.int64)
    without = loaded.signatures["transformed_features"](**inputs)["score"].numpy()
    has_one = np.array([len(row[name]) > 0 for row in in_beam])
    moved = np.abs(without - expected["score"].numpy()) > 1e-4
    assert not moved[~has_one].any()
    assert moved[has_one].mean() > 0.9


def test_labels_and_weights_are_those_worked_out_by_hand(world):
    _, rows, in_beam, _ = world
    for row, transformed in zip(rows, in_beam, strict=True):
        clicked, seconds = row.get("clicked"), row.get("seconds")
        known = float(clicked is not None)
        assert transformed["label/click"] == (clicked or 0)
        assert transformed["weight/click"] == known
        assert transformed["weight/long_view"] == transformed["weight/watch_time"] == (clicked or 0)
        assert transformed["label/long_view"] == float((seconds or 0) >= 30)
        expected = np.log1p(seconds or 0)
        assert transformed["label/watch_time"] == pytest.approx(expected, rel=1e-5)
        assert transformed["label/buy"] == (row.get("bought") or 0)
        assert transformed["weight/buy"] == row.get("importance", 0)
        assert transformed["label/seconds_by_buckets"] == pytest.approx(min(seconds or 0, 40))


def numbers():
    return st.one_of(st.none(), st.floats(-1e6, 1e6, width=32), st.just(float("nan")))


def texts():
    known = [f"u{index}" for index in range(11)] + [f"i{index}" for index in range(7)] + ["a", "b"]
    # A surrogate is no text: it has no UTF-8.
    return st.one_of(st.sampled_from(known), st.text(st.characters(codec="utf-8"), max_size=9))


ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(TEXTS, texts()),
            **dict.fromkeys(LISTS, st.lists(texts(), max_size=5)),
            **dict.fromkeys(NUMBERS, numbers()),
        },
    ),
    min_size=1,
    max_size=6,
)


def on_the_scale_of_the_sums(name, values):
    """Predictions as the model's sums are, whose error their size bounds.

    Matrix products of another number of rows round otherwise. An error of 1e-5 of f = 26, in a row
    that no log holds, is one of 2.6e-4 of `e^f`.
    """
    values = np.asarray(values)
    return np.log1p(values) if name in EXPONENTIAL_OUTPUTS else values


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS)
def test_any_row_has_one_score_in_stage_trainer_and_every_signature(loaded, stage, ranker, rows):
    rows = [{k: v for k, v in row.items() if v is not None} for row in rows]
    signatures = loaded.signatures
    features = {
        name: tf.RaggedTensor.from_row_splits(values, *splits) if splits else values
        for name, (values, *splits) in stage._transform(
            sparse_columns(raw_rows(rows), stage._specs)
        ).items()
    }
    trainer = ranker.predict_values(features)
    transformed = signatures["transformed_features"](
        **{
            name: x.to_tensor() if isinstance(x, tf.RaggedTensor) else x
            for name, x in features.items()
            if "/" not in name
        }
    )
    examples = signatures["serving_default"](examples=tf.constant([to_example(r) for r in rows]))
    raw = {
        name: tf.constant(values, tf.string if kind == "text" else tf.float32)
        for name, (kind, values) in raw_request(rows).items()
    }
    columns = signatures["raw_features"](**raw)
    alone = signatures["serving_default"](examples=tf.constant([to_example(rows[-1])]))
    for name in OUTPUTS:
        expected = on_the_scale_of_the_sums(name, examples[name])
        for answer, rows_of_it, error in (
            (columns, slice(None), 1e-6),
            (transformed, slice(None), 1e-5),
            (trainer, slice(None), 1e-5),
            (alone, slice(-1, None), 1e-5),
        ):
            if name in answer:
                values = on_the_scale_of_the_sums(name, answer[name])
                np.testing.assert_allclose(
                    expected[rows_of_it], values, rtol=error, atol=error / 10
                )


def test_an_id_that_the_feature_has_not_is_missing(loaded):
    inputs = {
        name: tf.zeros([3] if spec.shape.rank == 1 else [3, 1], spec.dtype)
        for name, spec in loaded.signatures["transformed_features"]
        .structured_input_signature[1]
        .items()
    }
    # `item` lies behind `user` in the same table: 25 would be one of its rows.
    inputs["user"] = tf.constant([0, 25, -1], tf.int64)
    inputs["tags"] = tf.constant([[0], [99], [-5]], tf.int64)
    for values in loaded.signatures["transformed_features"](**inputs).values():
        assert len(set(values.numpy())) == 1
