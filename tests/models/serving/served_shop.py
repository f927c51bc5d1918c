"""A config that has every kind of feature and task, its rows, and requests made of them."""

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tf_keras as keras
from tensorflow_metadata.proto.v0 import schema_pb2

from taskroute.models.calibration import LogitMap
from taskroute.models.dataset import feature_spec
from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.training import num_ids
from taskroute.schemas.log_schema import make_schema
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.serving import Serving

CONFIG = ModelConfig.model_validate(
    {
        "features": [
            {"name": "user", "kind": "categorical", "hash_buckets": 20, "embedding_dim": 4},
            {"name": "item", "kind": "categorical", "vocabulary": {"min_count": 2}},
            {"name": "tags", "kind": "multivalent", "vocabulary": {"oov_buckets": 3}},
            {
                "name": "history",
                "kind": "sequence",
                "shares": "item",
                "max_length": 3,
                "pooling": "attention",
            },
            {
                "name": "tags_seen",
                "kind": "sequence",
                "shares": "tags",
                "max_length": 2,
                "pooling": "attention",
            },
            {"name": "any_user", "column": "user", "kind": "categorical", "table": "ids"},
            {
                "name": "known_item",
                "column": "item",
                "kind": "categorical",
                "table": "ids",
                "vocabulary": {"min_count": 2, "oov_buckets": 2},
            },
            {
                "name": "known_history",
                "column": "history",
                "kind": "sequence",
                "shares": "known_item",
                "max_length": 3,
                "pooling": "attention",
            },
            {"name": "any_tags", "column": "tags", "kind": "multivalent", "table": "ids"},
            {"name": "hour", "kind": "bucket", "boundaries": [6, 12]},
            {"name": "price_band", "column": "price", "kind": "bucket", "num_quantiles": 3},
            {"name": "age", "kind": "dense"},
            {"name": "price", "kind": "dense", "transform": "log1p"},
            {"name": "rank", "kind": "dense", "transform": "quantile"},
            {"name": "share", "kind": "dense", "transform": "none"},
        ],
        "tasks": [
            {"name": "click", "label": {"column": "clicked"}},
            {
                "name": "long_view",
                "label": {"column": "seconds", "at_least": 30},
                "trained_where": "click",
            },
            {
                "name": "watch_time",
                "kind": "regression",
                "label": {"column": "seconds", "transform": "log1p"},
                "trained_where": "click",
            },
            {
                "name": "buy",
                "label": {"column": "bought"},
                "funnel": "click",
                "weight": "importance",
            },
            *(
                {
                    "name": f"seconds_by_{loss}",
                    "kind": "regression",
                    "label": {"column": "seconds", "minimum": 0, "maximum": 40},
                    "loss": loss,
                }
                for loss in ("weighted_logistic", "buckets")
            ),
        ],
        "tables": [{"name": "ids", "rows": 30, "embedding_dim": 12, "num_hashes": 3}],
        "interaction": {"kind": "cross", "layers": 2, "rank": 3},
        "trunk": {"kind": "snr_trans", "layers": [{"sub_networks": 3, "units": 8}]},
        "training": {"negative_sampling": {"task": "click", "keep": 0.5}},
    }
)

SERVING = Serving(score={"click": 1.0, "long_view": 0.5}, batch_sizes=(1, 8, 200))
SIGNATURES = ("serving_default", "raw_features", "transformed_features")
OUTPUTS = (*(name for task in CONFIG.tasks for name in task.outputs), "score")
TEXTS, LISTS = ("user", "item"), ("tags", "history", "tags_seen")
NUMBERS = ("hour", "age", "price", "rank", "share")
REQUEST_COLUMNS = (*TEXTS, *LISTS, *NUMBERS)

# What a row may hold that a tidy log does not.
EDGE_ROWS = [
    {},
    {"user": "", "item": "never seen", "tags": ["never seen", "b"], "hour": 6.0, "price": 0.0},
    {"item": "i1", "history": ["i1", "never seen", "", "i4", "ü 😀"], "tags_seen": ["b", "a", "c"]},
    {"history": ["i1", "i2"], "tags_seen": []},
    {"user": "ü ñ 漢字 😀", "item": "i1", "tags": ["a", "a", "ü"], "hour": -1.0, "price": -3.0},
    {"user": "u" * 5000, "item": " i1 ", "tags": ["a|b"], "age": 1e30, "rank": -1e30},
    {"user": "u1", "item": "i2", "tags": [], "hour": 99.0, "age": 0.0, "share": 0.5},
    {"user": "u2", "hour": float("nan"), "age": float("nan"), "price": float("nan")},
]


def make_rows(count):
    random = np.random.default_rng(0)
    rows = []
    for index in range(count):
        clicked = float(index % 3 == 0)
        row = {
            "user": f"u{index % 11}",
            "item": f"i{index % 7}",
            "tags": ["a", "b", "c"][: index % 4],
            "history": [f"i{past % 13}" for past in range(index - index % 6, index)],
            "tags_seen": ["d"] * (index % 3),
            "hour": float(index % 24),
            "age": float(random.normal(30, 5)),
            "price": float(random.lognormal()),
            "rank": float(random.normal()),
            "share": float(random.random()),
            "clicked": clicked,
            "seconds": clicked * float(random.lognormal(3)),
            "bought": float(index % 9 == 0),
            "importance": 0.5 * (index % 4),
        }
        if index % 5 == 0:
            del row["age"], row["item"]
        rows.append(row)
    return rows


def columns_of(rows):
    """Rows as instances of TFT: every column a list."""
    names = [feature.name for feature in make_schema(CONFIG).feature]
    return [{name: as_list(row.get(name)) for name in names} for row in rows]


def as_list(value):
    # In a log, too, NaN is a missing number: ingestion writes no value.
    if value is None or value == "" or value != value:
        return []
    return [term for term in value if term != ""] if isinstance(value, list) else [value]


def to_example(row):
    example = tf.train.Example()
    for name, values in row.items():
        feature = example.features.feature[name]
        for value in as_list(values):
            if isinstance(value, str):
                feature.bytes_list.value.append(value.encode())
            else:
                feature.float_list.value.append(value)
    return example.SerializeToString()


def make_ranker(transform, features):
    """The same ranker each time: calibrated, and trained on half of the rows without a click."""
    keras.utils.set_random_seed(5)
    ranker = MultiTaskRanker(CONFIG, num_ids(CONFIG, transform))
    ranker(features)
    for weight in ranker.trainable_variables:
        weight.assign(tf.random.normal(weight.shape, stddev=0.3))
    ranker.heads["seconds_by_buckets"].start(np.arange(100.0), np.ones(100))
    knots, values = np.float32([-1, 0, 1]), np.float32([-2, 0.5, 0.6])
    ranker.calibrations = {
        "click": LogitMap(knots, values, 0.9),
        "long_view": LogitMap(knots[:1], values[:1], 1.1),
    }
    return ranker


def to_features(instances):
    features = {}
    for name, spec in feature_spec(CONFIG).items():
        values = [row[name] for row in instances]
        if isinstance(spec, tf.io.RaggedFeature):
            features[name] = tf.ragged.constant(
                [list(v) for v in values], dtype=tf.int64, row_splits_dtype=tf.int64
            )
        else:
            features[name] = tf.constant(np.array(values).reshape(-1), spec.dtype)
    return features


def raw_request(rows):
    request = {}
    for name in TEXTS:
        request[name] = ("text", [row.get(name, "") for row in rows])
    for name in LISTS:
        longest = max(len(row.get(name, [])) for row in rows)
        padded = [(row.get(name, []) + [""] * longest)[:longest] for row in rows]
        request[name] = ("text", padded)
    for name in NUMBERS:
        request[name] = ("number", [row.get(name, float("nan")) for row in rows])
    return request


def transformed_request(in_beam):
    """Rows as transformed by Beam, as a client of `transformed_features` sends it."""
    request = {}
    for name, spec in feature_spec(CONFIG).items():
        values = [row[name] for row in in_beam]
        if isinstance(spec, tf.io.RaggedFeature):
            longest = max(map(len, values))
            padded = [[*map(int, ids)] + [0] * (longest - len(ids)) for ids in values]
            request[name] = ("id", padded)
        else:
            kind = "id" if spec.dtype == tf.int64 else "number"
            request[name] = (kind, np.array(values).reshape(-1).tolist())
    return request


def raw_rows(rows):
    """Rows as LogExampleGen keeps them."""
    kinds = {schema_pb2.BYTES: pa.binary(), schema_pb2.FLOAT: pa.float32()}
    schema = pa.schema(
        [(feature.name, pa.list_(kinds[feature.type])) for feature in make_schema(CONFIG).feature]
    )
    lists = [{name: values or None for name, values in row.items()} for row in columns_of(rows)]
    return pa.RecordBatch.from_pylist(lists, schema)
