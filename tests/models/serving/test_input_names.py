"""Columns of any name: inputs of signatures have safe ones, tf.Examples the log's own."""

import tensorflow as tf

from taskroute.models.export import input_specs
from taskroute.models.signature_table import signature_table
from taskroute.schemas.columns import request_columns
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.serving import Serving

COLUMNS = {
    "user.id": "user_id",
    "class": "class_",
    "self": "self_",
    "Größe (cm)": "Groesse_cm",
    "a b": "a_b",
    '"q"': "q",
    "x": "x",
}
CONFIG = ModelConfig.model_validate(
    {
        "features": [
            {"name": f"feature_{place}", "column": column, "kind": "dense"}
            for place, column in enumerate(COLUMNS)
        ]
        + [{"name": "class", "column": "kind", "kind": "categorical", "hash_buckets": 3}],
        "tasks": [{"name": "click", "label": {"column": "geklickt?"}}],
    }
)


def test_inputs_have_safe_names():
    specs = input_specs(CONFIG)
    assert list(specs["raw_features"]) == [*COLUMNS.values(), "kind"]
    assert "class_" in specs["transformed_features"]
    named = {column.name: column.input for column in request_columns(CONFIG)}
    assert named == {**COLUMNS, "kind": "kind"}


def test_tensorflow_saves_and_calls_such_a_signature(tmp_path):
    specs = input_specs(CONFIG)["raw_features"]

    @tf.function(input_signature=[specs])
    def raw_features(columns):
        return {"sum": tf.add_n([columns[name] for name in COLUMNS.values()])}

    module = tf.Module()
    tf.saved_model.save(module, str(tmp_path), {"raw_features": raw_features})
    signature = tf.saved_model.load(str(tmp_path)).signatures["raw_features"]
    numbers = {name: tf.constant([float(i)]) for i, name in enumerate(COLUMNS.values())}
    assert signature(**numbers, kind=tf.constant(["k"]))["sum"].numpy() == [21.0]


def test_the_table_names_the_column_beside_another_input():
    table = signature_table(CONFIG, Serving())
    assert "| `raw_features` | `Groesse_cm` (Größe (cm)) | float32 | (rows,) |" in table
    assert "| `raw_features` | `x` | float32 | (rows,) |" in table
    assert "| `transformed_features` | `class_` (class) | int64 | (rows,) |" in table
    assert "A tf.Example of `serving_default` holds `user.id`, `class`" in table
