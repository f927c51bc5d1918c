"""The component on real shards, a real transform graph and a small exported model."""

import json
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from sklearn import metrics as oracle
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils
from tfx import types
from tfx.types import standard_artifacts

from taskroute.components.logs import examples
from taskroute.components.logs.example_tensors import tf_examples
from taskroute.components.measures import scoring
from taskroute.components.served import registry
from taskroute.components.task_evaluator import executor
from taskroute.components.task_evaluator.component import TaskEvaluator
from taskroute.schemas.errors import DataError, ServingError, UserError
from taskroute.schemas.evaluation import Evaluation, Gate
from taskroute.schemas.evaluation_record import (
    Baseline,
    Measurements,
    Verdict,
)
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
_SPEC = {
    **{name: tf.io.VarLenFeature(tf.float32) for name in ("x", "clicked", "watch_seconds")},
    **{name: tf.io.VarLenFeature(tf.string) for name in ("device", "user")},
}


def _dense(column):
    shape = tf.stack([column.dense_shape[0], tf.ones([], tf.int64)])
    return tf.sparse.to_dense(tf.SparseTensor(column.indices, column.values, shape))


def _preprocess(inputs):
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


class _Ranker(tf.Module):
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
        x = _dense(tf.io.parse_example(examples, {"x": _SPEC["x"]})["x"])
        return self.score(tf.reshape(x, [-1]))


def _rows(num_rows):
    random = np.random.default_rng(1)
    x = random.normal(size=num_rows).astype(np.float32)
    clicked = (random.random(num_rows) < 1 / (1 + np.exp(-x))).astype(np.float32)
    watch_seconds = random.exponential(30, num_rows).astype(np.float32)
    known = random.random(num_rows) < 0.9
    return x, clicked, watch_seconds, known


def _users_and_devices(num_rows):
    return [f"u{row % 90}" for row in range(num_rows)], [
        DEVICES[row % 3] for row in range(num_rows)
    ]


def _table(x, clicked, watch_seconds, known):
    users, devices = _users_and_devices(len(x))
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


def _write(folder, num_shards, table):
    folder.mkdir(parents=True)
    for shard in range(num_shards):
        rows = table.take(pa.array(range(shard, len(table), num_shards)))
        pq.write_table(rows, folder / f"data-{shard:05d}-of-{num_shards:05d}.parquet")


@pytest.fixture(scope="module")
def transform_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transform_graph")
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(_SPEC))
    rows = [
        {
            **{name: [float(i % 2)] for name in ("x", "clicked", "watch_seconds")},
            **{name: [b"a"] for name in ("device", "user")},
        }
        for i in range(4)
    ]
    with beam.Pipeline("FnApiRunner") as pipeline, tft_beam.Context(str(folder / "temporary")):
        data = pipeline | beam.Create(rows)
        transform = (data, metadata) | tft_beam.AnalyzeDataset(_preprocess)
        _ = transform | tft_beam.WriteTransformFn(str(folder))
        _ = metadata | tft_beam.WriteMetadata(str(folder / "metadata"), pipeline)
    return folder


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    _export(_Ranker(1.0), folder)
    return folder


def _export(ranker, folder):
    path = str(folder / "Format-Serving")
    signatures = {"serving_default": ranker.serve, "raw_features": ranker.score}
    tf.saved_model.save(ranker, path, signatures=signatures)


@pytest.fixture
def examples_folder(tmp_path):
    """Two files of test rows, and a train split that cannot be read."""
    folder = tmp_path / "examples"
    _write(folder / "Split-test", 2, _table(*_rows(NUM_ROWS)))
    (folder / "Split-train").mkdir()
    (folder / "Split-train" / "data-00000-of-00001.parquet").write_bytes(
        b"these rows were trained on"
    )
    return folder


def _artifact(kind, uri):
    artifact = kind()
    artifact.uri = str(uri)
    return artifact


@pytest.fixture
def evaluate(tmp_path, examples_folder, model_folder, transform_folder):
    """Runs the executor; returns (blessing, (measurements, verdict))."""

    def run(*gates, tasks=TASKS, model=model_folder, baseline=None, **settings):
        examples = _artifact(standard_artifacts.Examples, examples_folder)
        examples.splits = ["train", "test"]
        inputs = {
            "examples": [examples],
            "model": [_artifact(standard_artifacts.Model, model)],
            "transform_graph": [_artifact(standard_artifacts.TransformGraph, transform_folder)],
        }
        blessing = _artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing")
        evaluation = _artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation")
        component = TaskEvaluator(
            **{name: types.Channel(type=artifacts[0].type) for name, artifacts in inputs.items()},
            tasks=tasks,
            evaluation=Evaluation(gates=gates, **settings),
            serving=_serve(baseline) if baseline else "",
        )
        executor.Executor(executor.Executor.Context(beam_pipeline_args=BEAM_ARGS)).Do(
            inputs, {"evaluation": [evaluation], "blessing": [blessing]}, component.exec_properties
        )
        return blessing, (Measurements.read(evaluation.uri), Verdict.read(evaluation.uri))

    return run


def _serve(folder):
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


def test_the_outputs_are_what_tfx_evaluator_has():
    component = TaskEvaluator(
        examples=types.Channel(type=standard_artifacts.Examples),
        model=types.Channel(type=standard_artifacts.Model),
        transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
        tasks=TASKS,
        evaluation=Evaluation(gates=(Gate(task="click", at_least=0.6),)),
    )
    outputs = {name: channel.type for name, channel in component.outputs.items()}
    assert outputs == {
        "evaluation": standard_artifacts.ModelEvaluation,
        "blessing": standard_artifacts.ModelBlessing,
    }


@pytest.mark.parametrize(
    ("tasks", "gates", "complaint"),
    [
        ((), (), "`tasks` must hold at least one task"),
        (TASKS, (Gate(task="share", at_least=0.6),), "Received: task='share'"),
    ],
)
def test_a_component_that_could_not_run_is_refused(tasks, gates, complaint):
    with pytest.raises(ValueError, match=complaint):
        TaskEvaluator(
            examples=types.Channel(type=standard_artifacts.Examples),
            model=types.Channel(type=standard_artifacts.Model),
            transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
            tasks=tasks,
            evaluation=Evaluation(gates=gates),
        )


def test_metrics_are_those_of_the_labelled_test_rows_in_the_column_s_units(evaluate):
    _, (measurements, _) = evaluate()
    x, clicked, watch_seconds, known = _rows(NUM_ROWS)
    probability = 1 / (1 + np.exp(-x.astype(np.float64)))
    click, watch_time = measurements.tasks["click"], measurements.tasks["watch_time"]

    assert (measurements.split, measurements.num_examples) == ("test", NUM_ROWS)
    assert measurements.seconds > 0
    assert click.num_examples == known.sum()
    auc = oracle.roc_auc_score(clicked[known], probability[known])
    log_loss = oracle.log_loss(clicked[known], probability[known])
    assert click.values["auc"] == pytest.approx(auc, abs=1e-4)
    assert click.values["log_loss"] == pytest.approx(log_loss, rel=1e-6)

    watched = known & (clicked == 1)
    label, prediction = watch_seconds[watched], 30 + x[watched]
    assert watch_time.num_examples == watched.sum()
    assert watch_time.values["mean_label"] == pytest.approx(label.mean(), rel=1e-5)
    mae = oracle.mean_absolute_error(label, prediction)
    rmse = oracle.root_mean_squared_error(label, prediction)
    assert watch_time.values["mae"] == pytest.approx(mae, rel=1e-5)
    assert watch_time.values["rmse"] == pytest.approx(rmse, rel=1e-5)


def test_slices_and_units_are_those_of_their_columns(evaluate):
    _, (measurements, _) = evaluate(slices=("device",), group_key="user")
    x, clicked, _, known = _rows(NUM_ROWS)
    users, devices = (np.array(column) for column in _users_and_devices(NUM_ROWS))
    for found in measurements.slices:
        rows = known & (devices == found.value)
        click = found.tasks["click"].candidate
        assert click.num_examples == rows.sum()
        auc = oracle.roc_auc_score(clicked[rows], x[rows])
        assert click.values["auc"] == pytest.approx(auc, abs=1e-4)
    total = weight = 0.0
    for user in np.unique(users):
        rows = known & (users == user)
        if len(np.unique(clicked[rows])) == 2:
            total += rows.sum() * oracle.roc_auc_score(clicked[rows], x[rows])
            weight += rows.sum()
    gauc = measurements.tasks["click"].values["gauc"]
    assert gauc == pytest.approx(total / weight, rel=1e-9)


def test_the_size_of_a_batch_changes_nothing(evaluate, monkeypatch):
    _, (whole, _) = evaluate(slices=("device",), group_key="user")
    monkeypatch.setattr(examples, "BATCH_ROWS", 170)
    _, (in_parts, _) = evaluate(slices=("device",), group_key="user")
    for one, other in zip(whole.slices, in_parts.slices, strict=True):
        for name, measured in one.tasks.items():
            values = other.tasks[name].candidate.values
            assert values == pytest.approx(measured.candidate.values, rel=1e-6)
            intervals = other.tasks[name].candidate.intervals
            assert intervals.keys() == measured.candidate.intervals.keys()


def test_a_model_that_passes_every_gate_is_blessed(evaluate, model_folder):
    gates = (
        Gate(task="click", at_least=0.6),
        Gate(task="watch_time", metric="mae", at_most=1000.0),
        Gate(task="click", may_lose=0.0),
    )
    blessing, (measurements, verdict) = evaluate(*gates)
    assert verdict.blessed
    # The first run has nothing to lose against.
    assert [gate.passed for gate in verdict.gates] == [True, True]
    assert measurements.baseline is None
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_string_custom_property("current_model") == str(model_folder)
    assert _files(blessing.uri) == ["BLESSED"]


def test_a_model_that_fails_one_gate_is_not_blessed(evaluate):
    gates = (Gate(task="click", at_least=0.6), Gate(task="click", at_least=0.99))
    blessing, (_, verdict) = evaluate(*gates)
    assert not verdict.blessed
    assert [gate.passed for gate in verdict.gates] == [True, False]
    assert blessing.has_custom_property("blessed")
    assert blessing.get_int_custom_property("blessed") == 0
    assert _files(blessing.uri) == ["NOT_BLESSED"]


def test_the_baseline_is_scored_on_the_same_rows(evaluate, model_folder, tmp_path):
    _export(_Ranker(-1.0), tmp_path / "reversed")
    gates = tuple(Gate(task=task.name, metric=metric, may_lose=0.01) for task, metric in zip(
        TASKS, ("auc", "rmse"), strict=True
    ))  # fmt: skip
    _, (same, verdict) = evaluate(*gates, baseline=model_folder)
    assert verdict.blessed
    served = str(model_folder / "Format-Serving")
    assert same.baseline == Baseline(version=3, path=served, model_digest="d")
    assert {found.value for found in same.compared["click"].differences.values()} == {0.0}

    _, (worse, verdict) = evaluate(*gates, model=tmp_path / "reversed", baseline=model_folder)
    assert not verdict.blessed
    assert verdict.gates[0].passed is False
    compared = worse.compared["click"]
    assert compared.baseline == same.tasks["click"]
    assert verdict.gates[0].difference == pytest.approx(
        compared.candidate.values["auc"] - compared.baseline.values["auc"]
    )


def test_a_task_that_the_baseline_does_not_know_is_not_compared(evaluate, model_folder, tmp_path):
    ranker = _Ranker(1.0)
    only_click = tf.function(
        lambda x: {"click": ranker.score(x)["click"]},
        input_signature=[tf.TensorSpec([None], tf.float32, name="x")],
    )
    tf.saved_model.save(
        ranker, str(tmp_path / "old" / "Format-Serving"), {"raw_features": only_click}
    )
    gates = (Gate(task="watch_time", metric="mae", may_lose=0.0), Gate(task="click", may_lose=0.0))
    _, (measurements, verdict) = evaluate(*gates, baseline=tmp_path / "old")
    assert verdict.blessed
    assert [gate.passed for gate in verdict.gates] == [None, True]
    assert measurements.compared["watch_time"].baseline is None


def test_a_baseline_that_cannot_be_loaded_is_named_with_the_way_out(evaluate, tmp_path):
    with pytest.raises(UserError, match=r"gone.*the baseline cannot score.*taskroute rollback"):
        evaluate(baseline=tmp_path / "gone")


def test_a_baseline_that_takes_no_columns_is_refused(evaluate, tmp_path):
    ranker = _Ranker(1.0)
    tf.saved_model.save(
        ranker, str(tmp_path / "old" / "Format-Serving"), {"serving_default": ranker.serve}
    )
    with pytest.raises(UserError, match=r"cannot score the test split: it has no signature `raw_f"):
        evaluate(baseline=tmp_path / "old")


@pytest.mark.parametrize("scale", [1.0001, float("nan")])
def test_a_model_whose_signatures_disagree_is_refused_with_the_row(evaluate, tmp_path, scale):
    ranker, other = _Ranker(1.0), _Ranker(scale)
    ranker.other = other
    # All but the row of the largest x are scored alike.
    x = _rows(NUM_ROWS)[0]
    limit = float(np.sort(x)[-2])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(examples):
        right, wrong = ranker.serve(examples), other.serve(examples)
        x = tf.reshape(right["watch_time"] - 30.0, [-1])
        watch_time = tf.where(x > limit + 1e-3, wrong["watch_time"], right["watch_time"])
        return {"click": right["click"], "watch_time": watch_time}

    tf.saved_model.save(
        ranker,
        str(tmp_path / "odd" / "Format-Serving"),
        {"serving_default": serve, "raw_features": ranker.score},
    )
    row = int(np.argmax(x))
    expected, found = 30 + x[row], 30 + np.float32(scale) * x[row]
    with pytest.raises(ServingError) as refused:
        evaluate(model=tmp_path / "odd")
    assert refused.value.exit_code == 5
    sentence = str(refused.value)
    assert f"row {row // 2 + 1} of " in sentence
    assert f"data-0000{row % 2}-of-00002.parquet has a watch_time of {found:.6g} by" in sentence
    assert f"and of {expected:.6g} by `raw_features`" in sentence


def test_rows_to_check_are_the_first_of_all_files(examples_folder, monkeypatch):
    files = sorted((examples_folder / "Split-test").iterdir())
    for limit, expected in ((10_000, [500, 500]), (700, [500, 200]), (30, [30, 0])):
        monkeypatch.setattr(executor, "CHECKED_ROWS", limit)
        counted = executor._with_rows_to_check(files)
        assert counted == list(zip(map(str, files), expected, strict=True))


def test_a_model_that_predicts_nan_is_not_blessed_and_the_files_stay_strict_json(
    evaluate, tmp_path
):
    _export(_Ranker(float("nan")), tmp_path / "nan")
    gates = (Gate(task="watch_time", metric="mae", at_most=1e9),)
    blessing, (measurements, verdict) = evaluate(*gates, model=tmp_path / "nan")
    assert not verdict.blessed
    assert verdict.gates[0].value is None
    assert measurements.tasks["watch_time"].num_invalid == NUM_ROWS
    assert _files(blessing.uri) == ["NOT_BLESSED"]
    for name in (Measurements.FILE, Verdict.FILE):
        json.loads((tmp_path / "evaluation" / name).read_text(), parse_constant=pytest.fail)


def test_tfma_loads_the_results(evaluate, model_folder, tmp_path):
    import tensorflow_model_analysis as tfma

    _, (measurements, _) = evaluate(
        Gate(task="click", may_lose=0.1), baseline=model_folder, slices=("device",)
    )
    loaded = tfma.load_eval_result(str(tmp_path / "evaluation"), model_name="candidate")
    by_slice = dict(loaded.slicing_metrics)
    assert set(by_slice) == {(), *((("device", device),) for device in DEVICES)}
    auc = by_slice[()]["click"][""]["auc"]["boundedValue"]
    expected = measurements.tasks["click"]
    assert auc["value"] == expected.values["auc"]
    assert auc["lowerBound"] == expected.intervals["auc"].low
    assert by_slice[()]["click"][""]["auc_diff"]["boundedValue"]["value"] == 0.0
    assert loaded.config.model_specs[1].name == "baseline"
    assert tfma.load_validation_result(str(tmp_path / "evaluation")).validation_ok


def test_aucs_are_those_of_tfma_on_the_same_model(
    evaluate, model_folder, tmp_path, examples_folder
):
    import tensorflow_model_analysis as tfma
    from google.protobuf import text_format
    from tensorflow_model_analysis.proto import config_pb2

    # TFMA knows no missing label here: it sees the rows that have one.
    folder = examples_folder / "Split-test"
    for path in folder.iterdir():
        path.unlink()
    columns = _rows(NUM_ROWS)
    columns[3][:] = True
    table = _table(*columns)
    pq.write_table(table, folder / "labelled.parquet")
    file = tmp_path / "labelled.gz"
    with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
        for example in tf_examples(table.to_batches()[0]).numpy():
            writer.write(example)
    _, (measurements, _) = evaluate(slices=("device",))
    config = text_format.Parse(
        """
        model_specs {
          model_type: "tf_generic" signature_name: "serving_default"
          label_keys { key: "click" value: "clicked" }
        }
        slicing_specs {} slicing_specs { feature_keys: "device" }
        metrics_specs { output_names: "click" metrics { class_name: "AUC" } }
        """,
        config_pb2.EvalConfig(),
    )
    shared = tfma.default_eval_shared_model(
        str(model_folder / "Format-Serving"), eval_config=config
    )
    result = tfma.run_model_analysis(
        shared, config, data_location=str(file), output_path=str(tmp_path / "tfma")
    )
    theirs = {key: metrics["click"][""]["auc"]["doubleValue"] for key, metrics in
              result.slicing_metrics}  # fmt: skip
    assert measurements.tasks["click"].values["auc"] == pytest.approx(theirs[()], abs=1e-4)
    for device in ("ios", "android"):
        (found,) = (one for one in measurements.slices if one.value == device)
        auc = found.tasks["click"].candidate.values["auc"]
        assert auc == pytest.approx(theirs[(("device", device),)], abs=1e-4)


def test_an_empty_test_split_is_refused(evaluate, examples_folder):
    for path in (examples_folder / "Split-test").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="the test split holds no row"):
        evaluate()


def test_a_label_that_is_neither_0_nor_1_is_refused_with_its_column(evaluate, examples_folder):
    _write(examples_folder / "more", 1, _table([0.0], [2.0], [1.0], [True]))
    (examples_folder / "more" / "data-00000-of-00001.parquet").rename(
        examples_folder / "Split-test" / "more.parquet"
    )
    with pytest.raises(DataError, match=r"label column 'clicked' of task 'click'.*Received: 2\.0"):
        evaluate()


def test_a_slice_column_of_too_many_values_is_refused(evaluate, monkeypatch):
    monkeypatch.setattr(scoring, "MAX_SLICES", 40)
    with pytest.raises(DataError, match=r"column 'user': has more than 40 values"):
        evaluate(slices=("user",))


def test_a_model_without_an_output_for_a_task_is_refused(evaluate):
    tasks = (*TASKS, Task(name="share", label=Label(column="shared")))
    with pytest.raises(Exception, match=r"must have an output for every task.*'share'"):
        evaluate(tasks=tasks)


def _files(folder):
    return sorted(path.name for path in Path(folder).iterdir())
