"""TaskEvaluator against TFX's Evaluator: rows/s over two AUCs and one slice of 20 values.

Run: python benchmarks/evaluate.py [--rows N] [--only-ours]. Both sides read the same rows and score
the same SavedModel in turn in this process, with the same Beam runner; TFX's reads them as gzipped
TFRecords. TFX's side computes two AUCs and the example counts; ours all metrics of binary tasks,
with intervals. `--only-ours` gives time and memory of many rows.
"""

import tempfile
from pathlib import Path

from harness import options, peak_mb, report
from stages import Chain, own_stages

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel

from taskroute.schemas.evaluation_record import Measurements
from taskroute.schemas.recommender import RecommenderConfig

WIDTH = 16
NUM_DEVICES = 20
NUMBERS = tuple(f"x{index}" for index in range(WIDTH))
TASKS = ("click", "like")
CONFIG = RecommenderConfig.model_validate(
    {
        "name": "evaluate",
        # A tenth of the rows beside the test split, so that there is something to train on.
        "source": {
            "path": "log.parquet",
            "format": "parquet",
            "timestamp": "time",
            "split": {"by": "time", "validation": 0.01, "test": 0.9},
        },
        "features": [
            *({"name": name, "kind": "dense"} for name in NUMBERS),
            {"name": "device", "kind": "categorical", "hash_buckets": NUM_DEVICES},
        ],
        "tasks": [{"name": name, "label": {"column": name}} for name in TASKS],
        "trunk": {"kind": "shared_bottom", "units": [64]},
        "evaluation": {"slices": ["device"]},
    }
)
SPEC = {name: tf.io.FixedLenFeature([1], tf.float32) for name in NUMBERS}

Aucs = dict[tuple[str, str], float]


class Ranker(tf.Module):
    """Two heads over one dense layer, behind the signatures of a served model."""

    def __init__(self) -> None:
        super().__init__()
        generator = tf.random.Generator.from_seed(1)
        self.hidden = tf.Variable(generator.normal([WIDTH, 64], stddev=0.25))
        self.heads = tf.Variable(generator.normal([64, 2], stddev=0.25))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_default(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, SPEC)
        return self._score([parsed[name][:, 0] for name in NUMBERS])

    @tf.function(
        input_signature=[
            {
                **{name: tf.TensorSpec([None], tf.float32, name=name) for name in NUMBERS},
                "device": tf.TensorSpec([None], tf.string, name="device"),
            }
        ]
    )
    def raw_features(self, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return self._score([columns[name] for name in NUMBERS])

    def _score(self, numbers: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        logits = tf.nn.relu(tf.stack(numbers, axis=1) @ self.hidden) @ self.heads - 2.0
        return {name: tf.sigmoid(logits[:, index]) for index, name in enumerate(TASKS)}


def make_log(num_rows: int) -> pa.Table:
    random = np.random.default_rng(1)
    x = random.normal(size=(num_rows, WIDTH)).astype(np.float32)
    columns = dict(zip(NUMBERS, x.T, strict=True))
    rate = 1 / (1 + np.exp(2 - x[:, 0]))
    labels = {name: (random.random(num_rows) < rate).astype(np.float32) for name in TASKS}
    devices = np.char.add("d", random.integers(NUM_DEVICES, size=num_rows).astype(str))
    return pa.table({"time": np.arange(num_rows), **columns, "device": devices, **labels})


def write_tfrecords(rows: pa.Table, folder: Path) -> None:
    """Rows as TFX's ExampleGen leaves them."""
    folder.mkdir(parents=True)
    path = str(folder / "data_tfrecord-00000-of-00001.gz")
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for row in rows.drop_columns(["time"]).to_pylist():
            feature = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
                if isinstance(value, str)
                else tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
                for name, value in row.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())


def our_aucs(evaluation: Path) -> Aucs:
    measured = Measurements.read(evaluation)
    tasks = {("", name): task for name, task in measured.tasks.items()}
    for one in measured.slices:
        tasks |= {(one.value, name): task.candidate for name, task in one.tasks.items()}
    values = {key: task.values["auc"] for key, task in tasks.items()}
    return {key: np.nan if auc is None else auc for key, auc in values.items()}


def tfx_aucs(evaluation: Path) -> Aucs:
    import tensorflow_model_analysis as tfma

    return {
        (key[0][1] if key else "", name): metrics[name][""]["auc"]["doubleValue"]
        for key, metrics in tfma.load_eval_result(str(evaluation)).slicing_metrics
        for name in TASKS
    }


def make_tfx_evaluator(examples: BaseChannel, model: BaseChannel) -> BaseComponent:
    """TFX's component; whoever is first would pay for its imports."""
    from tensorflow_model_analysis.proto import config_pb2
    from tfx.components import Evaluator

    config = config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                model_type="tf_generic",
                signature_name="serving_default",
                label_keys={name: name for name in TASKS},
            )
        ],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            config_pb2.SlicingSpec(feature_keys=["device"]),
        ],
        metrics_specs=[
            config_pb2.MetricsSpec(
                output_names=[name],
                metrics=[
                    config_pb2.MetricConfig(class_name="ExampleCount"),
                    config_pb2.MetricConfig(class_name="AUC"),
                ],
            )
            for name in TASKS
        ],
    )
    return Evaluator(examples=examples, model=model, eval_config=config, example_splits=["test"])


def main() -> None:
    parser = options(__doc__, rows=(100_000, 2_000))
    parser.add_argument("--only-ours", action="store_true", help="time and memory of many rows")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ranker = Ranker()
        signatures = {
            "serving_default": ranker.serving_default,
            "raw_features": ranker.raw_features,
        }
        model = folder / "model"
        tf.saved_model.save(ranker, str(model / "Format-Serving"), signatures)
        log = make_log(round(arguments.rows / 0.9))
        pq.write_table(log, folder / "log.parquet")
        stages = own_stages(CONFIG, str(folder / "log.parquet"), folder / "root")
        ours, theirs = Chain(folder / "ours"), Chain(folder / "theirs")
        for chain in (ours, theirs):
            chain.give("Trainer", "model", standard_artifacts.Model, model)
        for stage in ("LogExampleGen", "LogSchemaGen", "Transform"):
            ours.run(stages[stage])
        evaluator = stages["TaskEvaluator"]
        rows = log.num_rows - round(0.1 * log.num_rows)
        if not arguments.only_ours:
            # First, so that nobody's time holds its imports.
            inputs = (evaluator.inputs[key] for key in ("examples", "model"))
            their_evaluator = make_tfx_evaluator(*inputs)
        before = peak_mb()
        seconds = ours.run(evaluator).wall
        result = {
            "ours": round(rows / seconds),
            "unit": "rows/s",
            "rows": rows,
            "memory_mib_before_and_peak": [round(before), round(peak_mb())],
        }
        print(f"TaskEvaluator  {rows / seconds:>10,.0f} rows/s  {seconds:.1f} s")
        if not arguments.only_ours:
            write_tfrecords(log.slice(log.num_rows - rows), folder / "tfrecords" / "Split-test")
            examples = folder / "tfrecords"
            theirs.give(
                "LogExampleGen", "examples", standard_artifacts.Examples, examples
            ).splits = ["test"]
            their_seconds = theirs.run(their_evaluator).wall
            print(f"TFX Evaluator  {rows / their_seconds:>10,.0f} rows/s  {their_seconds:.1f} s")
            mine = our_aucs(ours.path("TaskEvaluator", "evaluation"))
            reference = tfx_aucs(theirs.path("Evaluator", "evaluation"))
            assert mine.keys() == reference.keys()
            gaps = {key: abs(mine[key] - reference[key]) for key in mine}
            result = {
                "ratio": round(their_seconds / seconds, 1),
                "theirs": round(rows / their_seconds),
                "largest_auc_difference": {
                    "all rows": max(gaps["", name] for name in TASKS),
                    "slices": float(np.nanmax(list(gaps.values()))),
                },
                **result,
            }
    report("TaskEvaluator against TFX's Evaluator", **result)


if __name__ == "__main__":
    main()
