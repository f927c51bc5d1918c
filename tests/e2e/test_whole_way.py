"""The whole way on a small log: one run, and what the later calls make of it.

One pipeline root is shared by all tests of this file, in the order they stand.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from taskroute.components.served import registry

pytestmark = pytest.mark.e2e

STAGES = [
    "LogExampleGen",
    "LogSchemaGen",
    "StatisticsGen",
    "ExampleValidator",
    "AnomalyGate",
    "Transform",
    "DayMonitor",
    "Trainer",
    "ServingCheck",
    "TaskEvaluator",
    "ModelPusher",
]


def test_the_first_run_says_what_it_did_and_nothing_else(world):
    lines = world.first.stdout.splitlines()
    assert world.first.stderr == ""
    for stage in STAGES:
        assert any(line.strip().startswith(stage) for line in lines)
    assert "BLESSED" in world.first.stdout
    # A line for each stage, split, task and gate, and a dozen more.
    assert len(lines) <= len(STAGES) + 4 + len(world.config["tasks"]) + 12
    assert all(len(line) <= 100 for line in lines if "/" not in line)


def test_every_row_of_the_log_is_in_one_split(world):
    assert sum(world.first_report["rows"].values()) == world.num_rows
    assert set(world.first_report["rows"]) == {"train", "validation", "test"}


def test_the_report_holds_stages_metrics_and_verdict(world):
    report = world.first_report
    assert [stage["name"] for stage in report["stages"]] == STAGES
    tasks = [task["name"] for task in world.config["tasks"]]
    assert list(report["metrics"]) == tasks
    assert report["metrics"]["click"]["num_examples"] == report["rows"]["test"]
    assert report["metrics"]["like"]["num_examples"] < report["rows"]["test"] / 2
    assert report["verdict"]["blessed"]
    assert report["exit_code"] == 0
    assert report["pushed_version"] == 1
    assert Path(report["pushed_path"], "saved_model.pb").is_file()


def test_describe_prints_cost_and_routes_of_the_last_run(world):
    program = [sys.executable, "-m", "taskroute.pipeline", "describe", world.folder / "demo.yaml"]
    ended = subprocess.run(
        [*program, "--root", world.root], capture_output=True, text=True, check=True
    )
    lines = ended.stdout.splitlines()
    for part in ("embedding", "trunk", "tower click", "total"):
        assert any(line.startswith(part) for line in lines)
    assert any(line.startswith("tasks: ") and "routes open" in line for line in lines)


def test_the_run_names_a_page_that_shows_it(world):
    path = Path(world.first_report["report"])
    assert str(path) in world.first.stdout.replace("\n", "")
    html = path.read_text()
    assert "Blessed and pushed as version 1" in html
    for text in (*STAGES, *(task["name"] for task in world.config["tasks"]), "Learning curves"):
        assert text in html
    program = [sys.executable, "-m", "taskroute.pipeline", "report", world.root]
    again = subprocess.run(
        [*program, "--importance", "300", "--repeats", "1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (again.stdout.strip(), again.stderr) == (str(path), "")
    html = path.read_text()
    assert "What the predictions rest on" in html
    assert "position, position_band" in html


def test_vocabularies_hold_terms_of_the_train_split_only(world):
    log = pq.read_table(world.folder / "log.parquet").sort_by("event_time")
    items = log["item_id"].to_pylist()
    num_train = world.first_report["rows"]["train"]
    file = world.artifact("Transform/transform_graph/*/transform_fn/assets/vocabulary_item_id")
    vocabulary = set(file.read_text().split())
    assert vocabulary <= set(items[:num_train])
    assert vocabulary
    # The log must have items that came later, or this test shows nothing.
    assert set(items[num_train:]) - set(items[:num_train])


SCORE_ALONE = """
import json, sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
raw = json.load(open(sys.argv[2]))
examples = []
for row in range(100):
    example = tf.train.Example()
    for name, (kind, values) in raw.items():
        feature = example.features.feature[name]
        for value in values[row] if kind == "texts" else [values[row]]:
            if kind == "number" and value == value:
                feature.float_list.value.append(value)
            elif kind != "number" and value:
                feature.bytes_list.value.append(value.encode())
    examples.append(example.SerializeToString())
scores = {
    "serving_default": model.signatures["serving_default"](examples=tf.constant(examples)),
    "raw_features": model.signatures["raw_features"](
        **{name: tf.constant(values, tf.string if kind != "number" else tf.float32)
           for name, (kind, values) in raw.items()}),
}
assert not any(name.startswith(("taskroute", "tf_keras", "tfx")) for name in sys.modules)
print(json.dumps({s: {t: v.numpy().tolist() for t, v in o.items()} for s, o in scores.items()}))
"""


def test_the_pushed_model_scores_raw_rows_as_the_trainer_does(world):
    from taskroute.schemas.columns import feature_columns
    from taskroute.schemas.recommender import load_config

    config = load_config(world.folder / "demo.yaml")
    file = world.artifact("LogExampleGen/examples/*/Split-validation/*-00000-of-*.parquet")
    rows = pq.read_table(file).slice(0, 100)

    # The trainer wrote what its own model, with its trunk as it was trained, gives for these rows.
    beside = world.serving / "1" / "assets.extra" / "warmup_scores.json"
    expected = json.loads(beside.read_text())

    raw = {}
    for column in feature_columns(config):
        empty = "" if column.kind != "number" else float("nan")
        lists = [
            [value.decode() if isinstance(value, bytes) else value for value in values or ()]
            for values in rows[column.name].to_pylist()
        ]
        width = max(map(len, lists))
        padded = [values + [empty] * (max(width, 1) - len(values)) for values in lists]
        one_each = [values[0] for values in padded]
        raw[column.name] = (column.kind, padded if column.kind == "texts" else one_each)
    (world.folder / "raw.json").write_text(json.dumps(raw))
    (world.folder / "alone.py").write_text(SCORE_ALONE)
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    program = [world.folder / "alone.py", world.serving / "1"]
    alone = subprocess.run(
        [sys.executable, *program, world.folder / "raw.json"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=world.folder,
    )
    scores = json.loads(alone.stdout.splitlines()[-1])
    for signature in ("serving_default", "raw_features"):
        for task in config.tasks:
            np.testing.assert_allclose(
                scores[signature][task.name], expected[task.name][:100], rtol=1e-5, atol=1e-5
            )


@pytest.fixture
def server(world):
    """gRPC address and REST URL of `taskroute serve` on what was pushed."""
    program = [sys.executable, "-m", "taskroute.pipeline", "serve", world.serving]
    process = subprocess.Popen(
        [*program, "--port", "0", "--rest-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    _, grpc_line, rest_line = (process.stdout.readline() for _ in range(3))
    yield grpc_line.split()[1], rest_line.split()[1]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


def test_clients_of_a_server_get_the_scores_of_the_trainer(world, server):
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2, prediction_service_pb2_grpc

    extra = world.serving / "1" / "assets.extra"
    expected = json.loads((extra / "warmup_scores.json").read_text())
    records = tf.data.TFRecordDataset(str(extra / "tf_serving_warmup_requests"))
    logs = [prediction_log_pb2.PredictionLog.FromString(r) for r in records.as_numpy_iterator()]
    with grpc.insecure_channel(server[0]) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for request in (log.predict_log.request for log in logs):
            response = stub.Predict(request)
            for task, values in expected.items():
                scores = tf.make_ndarray(response.outputs[task])
                assert len(scores) in (1, 64, 512)
                np.testing.assert_allclose(scores, values[: len(scores)], rtol=1e-5, atol=1e-5)

    examples = tf.make_ndarray(logs[1].predict_log.request.inputs["examples"])
    rows = [{"b64": base64.b64encode(example).decode()} for example in examples]
    body = world.folder / "body.json"
    body.write_text(json.dumps({"instances": rows}))
    curl = shutil.which("curl")
    assert curl, "this test needs curl"
    said = subprocess.run(
        [curl, "-s", "-d", f"@{body}", server[1]], capture_output=True, text=True, check=True
    )
    predictions = json.loads(said.stdout)["predictions"]
    for task, values in expected.items():
        scores = [row[task] for row in predictions]
        np.testing.assert_allclose(scores, values[:64], rtol=1e-5, atol=1e-5)


def test_the_pushed_model_was_tried_and_brings_what_a_server_is_started_with(world):
    assert 'base_path: "/models/demo"' in (world.serving / "models.config").read_text()
    assert "allowed_batch_sizes: 512" in (world.serving / "batching_parameters.txt").read_text()
    checked = world.first_report["serving_check"]
    assert all(check["passed"] for check in checked["checks"])
    assert len(checked["latency"]) == 9


def test_a_second_run_reuses_every_stage_and_pushes_nothing_new(world):
    ended = world.run(0)
    assert ended.stdout.count("reused") >= len(STAGES) - 2
    cached = {stage["name"] for stage in world.report["stages"] if stage["cached"]}
    assert {"LogExampleGen", "StatisticsGen", "Transform", "Trainer"} <= cached
    # The first run's model serves since: it is what this one, the same, was compared with.
    assert world.report["baseline"]["version"] == 1
    assert world.report["pushed_version"] == 1
    assert sorted(path.name for path in world.serving.glob("[0-9]*")) == ["1"]


def test_a_candidate_below_its_gate_is_not_pushed(world):
    world.set_gates(
        {"task": "click", "metric": "auc", "at_least": 0.5},
        {"task": "long_view", "metric": "auc", "at_least": 0.999},
    )
    ended = world.run(4)
    assert "NOT BLESSED" in ended.stdout
    assert "long_view" in ended.stdout
    assert not world.report["verdict"]["blessed"]
    assert world.report["pushed_version"] is None
    assert sorted(path.name for path in world.serving.glob("[0-9]*")) == ["1"]


def test_after_a_rollback_the_baseline_is_the_version_rolled_back_to(world, tmp_path):
    shutil.copytree(world.serving / "1", tmp_path / "other")
    (tmp_path / "other" / "assets.extra" / "note.txt").write_text("another model")
    assert registry.push(tmp_path / "other", world.serving, "demo") == 2
    program = [sys.executable, "-m", "taskroute.pipeline", "rollback", "demo", "--root", world.root]
    ended = subprocess.run(program, capture_output=True, text=True, check=True)
    assert "version 1 serves again" in ended.stdout
    world.set_gates({"task": "click", "metric": "auc", "at_least": 0.5, "may_lose": 0.0})
    world.run(0)
    assert world.report["baseline"]["version"] == 1
    assert [gate["rule"] for gate in world.report["verdict"]["gates"]][1] == "may lose 0.0"
    assert world.report["pushed_version"] == 1


def test_a_bad_row_that_no_sample_holds_stops_the_run_and_is_named(tmp_path):
    # check reads every second row of so many.
    rows, bad = 120_000, 55_001
    lines = [f"u{row % 7},{'old' if row == bad else 30},{row % 2}" for row in range(rows)]
    (tmp_path / "log.csv").write_text("\n".join(["user,age,clicked", *lines]) + "\n")
    config = {
        "name": "shop",
        "source": {
            "path": "log.csv",
            "format": "csv",
            "split": {"by": "hash", "key": "user", "validation": 0.2, "test": 0.2},
        },
        "features": [
            {"name": "user", "kind": "categorical", "hash_buckets": 10},
            {"name": "age", "kind": "dense"},
        ],
        "tasks": [{"name": "click", "label": {"column": "clicked"}}],
    }
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(config))
    program = [sys.executable, "-m", "taskroute.pipeline", "run", path, "--root", tmp_path / "root"]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1
    assert "log.csv: row 55002, column 'age': 'old' is not a number" in ended.stderr
    report = json.loads((tmp_path / "root" / "last_run.json").read_text())
    assert report["failed_stage"] == "LogExampleGen"
    assert report["exit_code"] == 3
    assert not list((tmp_path / "root" / "artifacts").rglob("*_examples-*"))
