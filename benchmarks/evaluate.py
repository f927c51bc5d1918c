"""TaskEvaluator against TFX's Evaluator: rows/s over two AUCs and one slice of 20 values.

Run: python benchmarks/evaluate.py [--rows N] [--only-ours]. Both sides score the same rows by the
same SavedModel in turn in this process, with the same Beam runner: ours reads Parquet and scores
columns, TFX's reads a gzipped TFRecord of tf.Examples and scores these. TFX's side computes two
AUCs and the example counts; ours all metrics of binary tasks, with intervals.
"""

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from taskroute.schemas import environment

environment.prepare()

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils
from tfx.types import standard_artifacts
from tfx_bsl.public import tfxio

from taskroute.components.logs.examples import shard_name
from taskroute.components.task_evaluator import executor
from taskroute.schemas.evaluation import Evaluation
from taskroute.schemas.evaluation_record import Measurements
from taskroute.schemas.tasks import Label, Task

BEAM_ARGS = ["--runner=FnApiRunner", "--sdk_container_image=local"]
WIDTH = 16
NUM_DEVICES = 20
TASKS = tuple(Task(name=name, label=Label(column=name)) for name in ("click", "like"))
SPEC = {
    "x": tf.io.VarLenFeature(tf.float32),
    "device": tf.io.VarLenFeature(tf.string),
    **{task.name: tf.io.VarLenFeature(tf.float32) for task in TASKS},
}


class Ranker(tf.Module):
    """Two heads over one dense layer."""

    def __init__(self) -> None:
        super().__init__()
        generator = tf.random.Generator.from_seed(1)
        self.hidden = tf.Variable(generator.normal([WIDTH, 64], stddev=0.25))
        self.heads = tf.Variable(generator.normal([64, 2], stddev=0.25))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {"x": tf.io.FixedLenFeature([WIDTH], tf.float32)}
        return self.score(tf.io.parse_example(examples, spec)["x"])

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="x")])
    def score(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = tf.nn.relu(x @ self.hidden) @ self.heads - 2.0
        return {task.name: tf.sigmoid(logits[:, i]) for i, task in enumerate(TASKS)}


def write_examples(folder: Path, num_rows: int) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(num_rows, WIDTH)).astype(np.float32)
    devices = [b"d%d" % device for device in random.integers(NUM_DEVICES, size=num_rows)]
    columns = {"x": pa.FixedSizeListArray.from_arrays(x.ravel(), WIDTH)}
    columns["device"] = pa.array([[device] for device in devices], pa.list_(pa.binary()))
    for task in TASKS:
        clicked = random.random(num_rows) < 1 / (1 + np.exp(2 - x[:, 0]))
        columns[task.name] = pa.FixedSizeListArray.from_arrays(clicked.astype(np.float32), 1)
    table = pa.table(columns)
    numbers = pa.list_(pa.float32())
    table = table.cast(
        pa.schema(
            [(name, numbers if name != "device" else pa.list_(pa.binary())) for name in columns]
        )
    )
    for kind in ("parquet", "tfrecord"):
        (folder / kind / "Split-test").mkdir(parents=True)
    pq.write_table(table, folder / "parquet" / "Split-test" / shard_name(0, 1))
    path = folder / "tfrecord" / "Split-test" / "data_tfrecord-00000-of-00001.gz"
    encoder = tfxio.RecordBatchToExamplesEncoder()
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for batch in table.to_batches(8192):
            for example in encoder.encode(batch):
                writer.write(example)


def write_transform_graph(folder: Path) -> None:
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(SPEC))
    row = {"x": [0.0] * WIDTH, "device": [b"d"], "click": [0.0], "like": [0.0]}

    def labels(inputs: dict[str, Any]) -> dict[str, tf.Tensor]:
        result = {}
        for task in TASKS:
            result[task.label_key] = tf.sparse.to_dense(inputs[task.name])[:, 0]
            result[task.weight_key] = tf.ones_like(result[task.label_key])
        return result

    with beam.Pipeline("FnApiRunner") as pipeline, tft_beam.Context(str(folder / "temporary")):
        data = pipeline | beam.Create([row])
        transform = (data, metadata) | tft_beam.AnalyzeDataset(labels)
        _ = transform | tft_beam.WriteTransformFn(str(folder))
        _ = metadata | tft_beam.WriteMetadata(str(folder / "metadata"), pipeline)


def artifact(kind: type[Any], uri: Path) -> Any:
    made = kind()
    made.uri = str(uri)
    return made


def inputs(folder: Path, kind: str) -> dict:
    examples = artifact(standard_artifacts.Examples, folder / kind)
    examples.splits = ["test"]
    model = artifact(standard_artifacts.Model, folder / "model")
    return {"examples": [examples], "model": [model]}


def run_ours(folder: Path) -> tuple[float, dict]:
    evaluation = artifact(standard_artifacts.ModelEvaluation, folder / "ours")
    graph = artifact(standard_artifacts.TransformGraph, folder / "graph")
    properties = {
        "tasks": executor.TASKS.dump_json(TASKS).decode(),
        "settings": Evaluation(slices=("device",)).model_dump_json(),
        "serving": "",
    }
    start = time.perf_counter()
    executor.Executor(executor.Executor.Context(beam_pipeline_args=BEAM_ARGS)).Do(
        inputs(folder, "parquet") | {"transform_graph": [graph]},
        {
            "evaluation": [evaluation],
            "blessing": [artifact(standard_artifacts.ModelBlessing, folder / "blessing")],
        },
        properties,
    )
    seconds = time.perf_counter() - start
    measured = Measurements.read(evaluation.uri)
    aucs = {("", name): task.values["auc"] for name, task in measured.tasks.items()}
    for found in measured.slices:
        for name, task in found.tasks.items():
            aucs[found.value, name] = task.candidate.values["auc"]
    return seconds, aucs


def run_tfx(folder: Path) -> tuple[float, dict]:
    import tensorflow_model_analysis as tfma
    from tensorflow_model_analysis.proto import config_pb2
    from tfx.components.evaluator import executor as tfx_executor
    from tfx.utils import proto_utils

    config = config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                model_type="tf_generic",
                signature_name="serving_default",
                label_keys={task.name: task.name for task in TASKS},
            )
        ],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            config_pb2.SlicingSpec(feature_keys=["device"]),
        ],
        metrics_specs=[
            config_pb2.MetricsSpec(
                output_names=[task.name],
                metrics=[
                    config_pb2.MetricConfig(class_name="ExampleCount"),
                    config_pb2.MetricConfig(class_name="AUC"),
                ],
            )
            for task in TASKS
        ],
    )
    evaluation = artifact(standard_artifacts.ModelEvaluation, folder / "theirs")
    properties = {
        "eval_config": proto_utils.proto_to_json(config),
        "example_splits": json.dumps(["test"]),
        "fairness_indicator_thresholds": "null",
    }
    start = time.perf_counter()
    tfx_executor.Executor(tfx_executor.Executor.Context(beam_pipeline_args=BEAM_ARGS)).Do(
        inputs(folder, "tfrecord"),
        {
            "evaluation": [evaluation],
            "blessing": [artifact(standard_artifacts.ModelBlessing, folder / "blessing_tfx")],
        },
        properties,
    )
    seconds = time.perf_counter() - start
    aucs = {}
    for key, metrics in tfma.load_eval_result(evaluation.uri).slicing_metrics:
        for task in TASKS:
            aucs[key[0][1] if key else "", task.name] = metrics[task.name][""]["auc"]["doubleValue"]
    return seconds, aucs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only-ours", action="store_true", help="Time and memory of many rows.")
    arguments = parser.parse_args()
    rows = arguments.rows
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_examples(folder, rows)
        write_transform_graph(folder / "graph")
        ranker = Ranker()
        tf.saved_model.save(
            ranker,
            str(folder / "model" / "Format-Serving"),
            {"serving_default": ranker.serve, "raw_features": ranker.score},
        )
        if not arguments.only_ours:
            # Whoever is first would pay for this import.
            import tensorflow_model_analysis  # noqa: F401
            import tfx.components.evaluator.executor  # noqa: F401
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds, ours = run_ours(folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"TaskEvaluator  {rows / seconds:>10,.0f} rows/s  {seconds:.1f} s")
        result = {
            "ours": round(rows / seconds),
            "unit": "rows/s",
            "rows": rows,
            "memory_mib_before_and_peak": [round(before), round(peak)],
            "machine": machine,
        }
        if not arguments.only_ours:
            their_seconds, theirs = run_tfx(folder)
            print(f"TFX Evaluator  {rows / their_seconds:>10,.0f} rows/s  {their_seconds:.1f} s")
            assert ours.keys() == theirs.keys()
            gap = max(abs(ours[key] - theirs[key]) for key in ours)
            overall = max(abs(ours["", task.name] - theirs["", task.name]) for task in TASKS)
            result = {
                "ratio": round(their_seconds / seconds, 1),
                "theirs": round(rows / their_seconds),
                "largest_auc_difference": {"all rows": overall, "slices": gap},
                **result,
            }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
