"""Rows, shards of them, and a small model whose scores are known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_transform as tft

from taskroute.components.served import registry
from taskroute.schemas.tasks import Label, Task

TASKS = (
    Task(name="click", label=Label(column="clicked")),
    Task(
        name="watch_time",
        kind="regression",
        label=Label(column="watch_seconds", transform="log1p"),
        trained_where="click",
    ),
)
NUM_ROWS = 1000
DEVICES = ("ios", "android", "")
BEAM_ARGS = ["--runner=FnApiRunner", "--sdk_container_image=local"]
SPEC = {
    **{name: tf.io.VarLenFeature(tf.float32) for name in ("x", "clicked", "watch_seconds")},
    **{name: tf.io.VarLenFeature(tf.string) for name in ("device", "user")},
}


def _dense(column):
    shape = tf.stack([column.dense_shape[0], tf.ones([], tf.int64)])
    return tf.sparse.to_dense(tf.SparseTensor(column.indices, column.values, shape))


def preprocess(inputs):
    """Labels (B,) and weights (B, 1): the evaluator takes both shapes."""
    clicked, known = (
        _dense(inputs["clicked"]),
        tf.sparse.map_values(tf.ones_like, inputs["clicked"]),
    )
    return {
        "z": tft.scale_to_z_score(_dense(inputs["x"])),
        "label/click": tf.reshape(clicked, [-1]),
        "weight/click": _dense(known),
        "label/watch_time": tf.reshape(tf.math.log1p(_dense(inputs["watch_seconds"])), [-1]),
        "weight/watch_time": clicked,
    }


class Ranker(tf.Module):
    """`click` = sigmoid(scale x), (B, 1); `watch_time` = 30 + scale x, (B,)."""

    def __init__(self, scale):
        super().__init__()
        self.scale = tf.Variable(scale)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def score(self, x):
        return {
            "click": tf.sigmoid(self.scale * x[:, tf.newaxis]),
            "watch_time": 30.0 + self.scale * x,
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples):
        x = _dense(tf.io.parse_example(examples, {"x": SPEC["x"]})["x"])
        return self.score(tf.reshape(x, [-1]))


def make_rows(num_rows):
    random = np.random.default_rng(1)
    x = random.normal(size=num_rows).astype(np.float32)
    clicked = (random.random(num_rows) < 1 / (1 + np.exp(-x))).astype(np.float32)
    watch_seconds = random.exponential(30, num_rows).astype(np.float32)
    known = random.random(num_rows) < 0.9
    return x, clicked, watch_seconds, known


def users_and_devices(num_rows):
    return [f"u{row % 90}" for row in range(num_rows)], [
        DEVICES[row % 3] for row in range(num_rows)
    ]


def make_table(x, clicked, watch_seconds, known):
    users, devices = users_and_devices(len(x))
    columns = {
        "x": x,
        "clicked": np.where(known, clicked, None),
        "watch_seconds": watch_seconds,
        "device": [device.encode() or None for device in devices],
        "user": [user.encode() for user in users],
    }
    return pa.table(
        {
            name: pa.array(
                [None if value is None else [value] for value in values],
                pa.list_(pa.binary() if name in ("device", "user") else pa.float32()),
            )
            for name, values in columns.items()
        }
    )


def write_shards(folder, num_shards, table):
    folder.mkdir(parents=True)
    for shard in range(num_shards):
        rows = table.take(pa.array(range(shard, len(table), num_shards)))
        pq.write_table(rows, folder / f"data-{shard:05d}-of-{num_shards:05d}.parquet")


def export(ranker, folder):
    path = str(folder / "Format-Serving")
    signatures = {"serving_default": ranker.serve, "raw_features": ranker.score}
    tf.saved_model.save(ranker, path, signatures=signatures)


def make_artifact(kind, uri):
    artifact = kind()
    artifact.uri = str(uri)
    return artifact


def point_to(folder):
    """Points to the model in the folder as its version 3."""
    folder.mkdir(exist_ok=True)
    pointer = registry.Pointer(
        model_name="demo",
        version=3,
        path="Format-Serving",
        model_digest="d",
        pushed_at="2026-11-22T00:00:00Z",
    )
    (folder / registry.POINTER_FILE).write_text(pointer.model_dump_json())
    return str(folder)


def file_names(folder):
    return sorted(path.name for path in Path(folder).iterdir())
