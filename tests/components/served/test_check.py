"""Models that the check refuses, and one that passes.

The models here are small tf.Modules that keep the contract of an exported ranker; the ranker's own
is checked in tests/models/test_serving.py.
"""

import json
import shutil

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from taskroute.components.served import check, probe
from taskroute.components.served.check import check_model
from taskroute.schemas.serving_check import Contract, ServingReport

CONTRACT = Contract(outputs={"click": "binary", "watch": "regression"}, batch_sizes=(1, 4))
USERS, AGES = ["u1", "u2", "", "u3"], [20.0, 30.0, float("nan"), 40.0]


class Model(tf.Module):
    """Two outputs of a text and a number, by three signatures."""

    def __init__(self, rename=None, spoil=None):
        super().__init__()
        self.weight = tf.Variable(0.01)
        self.table = tf.lookup.StaticVocabularyTable(
            tf.lookup.KeyValueTensorInitializer(["u1", "u2"], tf.constant([1, 2], tf.int64)), 1
        )
        self._rename, self._spoil = rename or {}, spoil

    def score(self, ids, ages):
        ages = tf.where(tf.math.is_nan(ages), 0.0, ages)
        logits = self.weight * tf.clip_by_value(ages, -100.0, 100.0) + tf.cast(ids, tf.float32)
        if self._spoil is not None:
            logits = self._spoil(logits)
        values = {"click": tf.sigmoid(logits), "watch": 2 * logits}
        return {self._rename.get(name, name): value for name, value in values.items()}

    def ids(self, users):
        return tf.where(users == "", tf.constant(0, tf.int64), self.table.lookup(users))

    def signatures(self):
        text = tf.TensorSpec([None], tf.string, name="user")
        number = tf.TensorSpec([None], tf.float32, name="age")

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def serving_default(examples):
            spec = {
                "user": tf.io.FixedLenFeature([], tf.string, ""),
                "age": tf.io.FixedLenFeature([], tf.float32, float("nan")),
            }
            row = tf.io.parse_example(examples, spec)
            return self.score(self.ids(row["user"]), row["age"])

        @tf.function(input_signature=[{"user": text, "age": number}])
        def raw_features(row):
            return self.score(self.ids(row["user"]), row["age"])

        @tf.function(
            input_signature=[{"user": tf.TensorSpec([None], tf.int64, name="user"), "age": number}]
        )
        def transformed_features(row):
            return self.score(tf.clip_by_value(row["user"], 0, 3), row["age"])

        return {
            "serving_default": serving_default,
            "raw_features": raw_features,
            "transformed_features": transformed_features,
        }


def export(path, model, scores_of=None):
    """Saves `model` with warm-up requests and the scores of `scores_of`, itself by default."""
    tf.saved_model.save(model, str(path), signatures=model.signatures())
    examples = []
    for user, age in zip(USERS, AGES, strict=True):
        example = tf.train.Example()
        if user:
            example.features.feature["user"].bytes_list.value.append(user.encode())
            example.features.feature["age"].float_list.value.append(age)
        examples.append(example.SerializeToString())
    ids = (scores_of or model).ids(tf.constant(USERS))
    requests = {
        "serving_default": {"examples": tf.constant(examples)},
        "raw_features": {"user": tf.constant(USERS), "age": tf.constant(AGES)},
        "transformed_features": {"user": ids, "age": tf.constant(AGES)},
    }
    folder = path / "assets.extra"
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        for signature, inputs in requests.items():
            for size in CONTRACT.batch_sizes:
                log = prediction_log_pb2.PredictionLog()
                log.predict_log.request.model_spec.signature_name = signature
                for name, values in inputs.items():
                    tensor = tf.make_tensor_proto(values[:size])
                    log.predict_log.request.inputs[name].CopyFrom(tensor)
                writer.write(log.SerializeToString())
    scores = (scores_of or model).score(ids, tf.constant(AGES))
    content = {name: values.numpy().astype(float).tolist() for name, values in scores.items()}
    (folder / "warmup_scores.json").write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return export(tmp_path_factory.mktemp("good") / "1", Model())


@pytest.fixture
def copy(good, tmp_path):
    return shutil.copytree(good, tmp_path / "1")


def failed(path, contract=CONTRACT):
    """The check that fails, which must be a single one, and what it says; in this process."""
    report = ServingReport.model_validate(probe.run(path, contract.model_dump(mode="json")))
    (found,) = [check for check in report.checks if not check.passed]
    return found.name, found.detail


@pytest.fixture(autouse=True)
def _few_calls(monkeypatch):
    monkeypatch.setattr(probe, "LATENCY_CALLS", 1)


def test_a_model_that_serves_passes_every_check(good):
    report = check_model(good, CONTRACT)
    assert report.passed, report.summary
    assert len(report.checks) == 9
    assert report.facts["worst_difference"] < 1e-6
    measured = {(row.signature, row.batch_size) for row in report.latency}
    assert measured == {(name, size) for name in CONTRACT.signatures for size in (1, 4)}
    assert all(0 < row.p50_ms <= row.p95_ms <= row.p99_ms for row in report.latency)


def test_an_output_of_another_name_is_refused(tmp_path):
    path = export(tmp_path / "1", Model(rename={"click": "clicks"}))
    name, detail = failed(path)
    assert name == "signatures"
    assert "['clicks', 'watch'] instead of ['click', 'watch']" in detail


def test_a_python_function_is_refused(tmp_path):
    def spoil(logits):
        doubled = tf.numpy_function(lambda x: x, [logits], tf.float32)
        return tf.reshape(doubled, tf.shape(logits))

    path = export(tmp_path / "1", Model(spoil=spoil))
    name, detail = failed(path)
    assert name == "operations"
    assert "calls a Python function" in detail


def test_an_operation_that_tensorflow_has_not_is_refused(copy):
    from tensorflow.core.protobuf import saved_model_pb2

    file = copy / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    renamed = 0
    for function in saved.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if node.op == "Sigmoid":
                node.op, renamed = "OurFastSigmoid", renamed + 1
    assert renamed
    file.write_bytes(saved.SerializeToString())
    name, detail = failed(copy)
    assert name == "operations"
    assert "OurFastSigmoid is not TensorFlow's" in detail


def test_a_function_that_only_xla_may_run_is_refused(tmp_path):
    spoil = tf.function(lambda logits: logits + 1.0, jit_compile=True)
    path = export(tmp_path / "1", Model(spoil=spoil))
    name, detail = failed(path)
    assert name == "operations"
    assert "XLA" in detail


def test_a_score_that_is_not_a_number_is_refused(tmp_path):
    def spoil(logits):
        return tf.where(logits > 0.35, tf.math.log(-tf.ones_like(logits)), logits)

    path = export(tmp_path / "1", Model(spoil=spoil), scores_of=Model())
    name, detail = failed(path)
    assert name == "warm_up"
    assert "not a number" in detail


def test_a_number_that_fails_only_for_rows_unlike_those_of_training_is_refused(tmp_path):
    def spoil(logits):
        return tf.where(logits < -0.5, tf.math.log(-tf.ones_like(logits)), logits)

    path = export(tmp_path / "1", Model(spoil=spoil))
    name, detail = failed(path)
    assert name == "edge_rows"
    assert "strange values" in detail


def test_a_changed_warm_up_score_is_refused(copy):
    file = copy / "assets.extra" / "warmup_scores.json"
    scores = json.loads(file.read_text())
    scores["click"][3] += 1e-3
    file.write_text(json.dumps(scores))
    name, detail = failed(copy)
    assert name == "warm_up"
    assert "row 3 has click" in detail


def test_a_batch_size_without_a_warm_up_request_is_refused(good):
    name, detail = failed(good, CONTRACT.model_copy(update={"batch_sizes": (1, 4, 16)}))
    assert name == "warm_up"
    assert "[1, 4] rows instead of [1, 4, 16]" in detail


def test_text_on_the_way_of_the_gpu_signature_is_refused(tmp_path):
    def spoil(logits):
        return tf.strings.to_number(tf.strings.as_string(logits))

    path = export(tmp_path / "1", Model(spoil=spoil))
    name, detail = failed(path)
    assert name == "gpu_signature"
    assert "no GPU kernel" in detail


def test_a_folder_that_is_no_saved_model_is_refused(copy):
    (copy / "saved_model.pb").write_bytes(b"\x00garbage")
    name, detail = failed(copy)
    assert name == "operations"
    assert "DecodeError" in detail


def test_a_model_that_ends_its_process_is_refused_and_the_check_named(copy, tmp_path, monkeypatch):
    program = tmp_path / "crash.py"
    program.write_text("import os\nprint('loading', flush=True)\nos.abort()\n")
    monkeypatch.setattr(check, "_PROBE", program)
    report = check_model(copy, CONTRACT)
    assert report.summary == "loading: the process died of SIGABRT"


def test_a_model_that_never_answers_is_refused(copy, tmp_path, monkeypatch):
    program = tmp_path / "sleep.py"
    program.write_text("import time\nprint('warm_up', flush=True)\ntime.sleep(60)\n")
    monkeypatch.setattr(check, "_PROBE", program)
    monkeypatch.setattr(check, "_MAX_SECONDS", 2)
    assert check_model(copy, CONTRACT).summary == "warm_up: no end in 2 s"
