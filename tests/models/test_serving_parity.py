"""One row has one score: in the trainer and in a process that has none of our code."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
import tf_keras as keras
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

from taskroute.components.feature_transform import materialization
from taskroute.components.feature_transform.analysis import analyze
from taskroute.components.serving_check import probe
from taskroute.components.serving_check.check import contract_of_info
from taskroute.models.calibration import LogitMap
from taskroute.models.dataset import feature_spec
from taskroute.models.export import export
from taskroute.models.preprocessing import preprocessing_fn
from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.trainer import num_ids, write_warm_up
from taskroute.schemas.log_schema import make_schema
from taskroute.schemas.recommender import DataConfig, ModelConfig
from taskroute.schemas.serving import ModelInfo, Serving

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


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A transform graph, an untrained ranker with open weights, and its SavedModel."""
    folder = tmp_path_factory.mktemp("world")
    rows = make_rows(120)
    metadata = dataset_metadata.DatasetMetadata(make_schema(CONFIG))
    with tf.io.TFRecordWriter(str(folder / "raw-00000.gz"), "GZIP") as writer:
        for row in rows:
            writer.write(to_example(row))
    data = DataConfig(features=CONFIG.features, tasks=CONFIG.tasks)
    (folder / "analysis").mkdir()
    with beam.Pipeline("FnApiRunner") as pipeline:
        analyze(pipeline, [str(folder / "raw-00000.gz")], data, str(folder / "analysis"))
    custom_config = {"data": data.model_dump_json(), "analysis": str(folder / "analysis")}
    with tft_beam.Context(temp_dir=tempfile.mkdtemp(dir=folder)):
        (transformed, _), transform_fn = (columns_of(rows), metadata) | (
            tft_beam.AnalyzeAndTransformDataset(
                lambda inputs: preprocessing_fn(inputs, custom_config)
            )
        )
        edge, _ = ((columns_of(EDGE_ROWS), metadata), transform_fn) | (tft_beam.TransformDataset())
        transform_fn | tft_beam.WriteTransformFn(str(folder / "transform"))
    metadata_io.write_metadata(metadata, str(folder / "transform/metadata"))
    transform = tft.TFTransformOutput(str(folder / "transform"))
    in_beam = transformed + edge
    features = to_features(in_beam)
    ranker = make_ranker(transform, features)
    served = export(ranker, transform, CONFIG, str(folder / "model"), SERVING)
    raw = {"patterns": [str(folder / "raw-*")], "span": ["5", "7"], "num_rows": {"train": 100}}
    fn_args = SimpleNamespace(
        custom_config={"name": "shop", "raw_examples": raw}, serving_model_dir=folder / "model"
    )
    write_warm_up(ranker, served, CONFIG, SERVING, fn_args)
    values = ranker.predict_values(features)
    values["score"] = values["click"] + 0.5 * values["long_view"]
    return folder, rows + EDGE_ROWS, in_beam, values


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


@pytest.fixture(scope="module")
def ranker(world):
    transform = tft.TFTransformOutput(str(world[0] / "transform"))
    return make_ranker(transform, to_features(world[2]))


@pytest.fixture(scope="module")
def stage(world):
    """What FeatureTransform does to batches of raw examples."""
    work = materialization._Materialize(str(world[0] / "transform"))
    work.setup()
    return work


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
    """What Beam made of the rows, as a client of `transformed_features` sends it."""
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


def test_the_saved_model_holds_weights_and_no_optimizer(world):
    folder = world[0]
    loaded = tf.saved_model.load(str(folder / "model"))
    signature = loaded.signatures["serving_default"]
    names = {op.type for op in signature.graph.get_operations()}
    assert not any("PyFunc" in name for name in names)
    variables = tf.train.list_variables(str(folder / "model" / "variables" / "variables"))
    assert not any("optimizer" in name.lower() for name, _ in variables)
    assert not (folder / "model" / "keras_metadata.pb").exists()


@pytest.fixture(scope="module")
def loaded(world):
    return tf.saved_model.load(str(world[0] / "model"))


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


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS)
def test_any_row_has_one_score_in_stage_trainer_and_every_signature(loaded, stage, ranker, rows):
    rows = [{k: v for k, v in row.items() if v is not None} for row in rows]
    signatures = loaded.signatures
    features = {
        name: tf.RaggedTensor.from_row_splits(values, *splits) if splits else values
        for name, (values, *splits) in stage._apply([to_example(row) for row in rows]).items()
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
    for name in OUTPUTS:
        np.testing.assert_allclose(examples[name], columns[name], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(examples[name], transformed[name], rtol=1e-5, atol=1e-6)
        if name in trainer:
            np.testing.assert_allclose(examples[name], trainer[name], rtol=1e-5, atol=1e-6)
        alone = signatures["serving_default"](examples=tf.constant([to_example(rows[-1])]))
        np.testing.assert_allclose(examples[name][-1:], alone[name], rtol=1e-5, atol=1e-6)


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


def warm_up_requests(folder):
    path = folder / "model" / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(path)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        yield log.predict_log.request


def test_every_signature_is_warmed_at_every_batch_size_with_real_rows(world):
    folder = world[0]
    sizes = {}
    for request in warm_up_requests(folder):
        assert request.model_spec.name == "shop"
        (size,) = {tensor.tensor_shape.dim[0].size for tensor in request.inputs.values()}
        sizes.setdefault(request.model_spec.signature_name, []).append(size)
    assert sizes == {name: list(SERVING.batch_sizes) for name in SIGNATURES}
    last = [r for r in warm_up_requests(folder) if r.model_spec.signature_name == "raw_features"][
        -1
    ]
    users = tf.make_ndarray(last.inputs["user"]).tolist()
    # 120 rows for a batch of 200: they begin anew.
    assert users == [f"u{index % 120 % 11}".encode() for index in range(200)]


def test_a_warm_up_request_holds_no_label(world):
    folder = world[0]
    request = next(warm_up_requests(folder))
    example = tf.train.Example.FromString(tf.make_ndarray(request.inputs["examples"])[0])
    assert set(example.features.feature) <= set(REQUEST_COLUMNS)


def test_the_scores_beside_the_warm_up_are_those_of_the_trainers_trunk(world):
    folder, _, _, expected = world
    scores = json.loads((folder / "model/assets.extra/warmup_scores.json").read_text())
    assert set(scores) == set(OUTPUTS)
    for name, values in scores.items():
        assert len(values) == 120
        np.testing.assert_allclose(values, expected[name][:120], rtol=1e-5, atol=1e-6)


def test_the_model_says_what_it_is(world):
    info = json.loads((world[0] / "model/assets.extra/model_info.json").read_text())
    assert info["name"] == "shop"
    assert info["data_span"] == ["5", "7"]
    assert info["num_rows"] == {"train": 100}
    assert len(info["config_digest"]) == 16
    assert info["binary_tasks"] == ["click", "long_view", "buy", "buy_after_click"]


def test_servers_batch_to_the_sizes_that_were_warmed(world):
    text = (world[0] / "model/assets.extra/batching_parameters.txt").read_text()
    allowed = [int(line.split()[1]) for line in text.splitlines() if line.startswith("allowed")]
    assert allowed == list(SERVING.batch_sizes)
    assert f"max_batch_size {{ value: {allowed[-1]} }}" in text
    assert "pad_variable_length_inputs" not in text


def test_the_serving_check_passes_the_model(world):
    info = ModelInfo.model_validate_json(
        (world[0] / "model/assets.extra/model_info.json").read_bytes()
    )
    contract = contract_of_info(info)
    assert set(contract.outputs) == set(OUTPUTS)
    report = probe.run(str(world[0] / "model"), contract.model_dump(mode="json"))
    assert [check for check in report["checks"] if not check["passed"]] == []
    assert report["facts"]["worst_difference"] < 1e-5


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_a_c_program_gets_the_same_scores_without_python(world, tmp_path):
    """What a model server does: TensorFlow's C API, libraries from the wheel, no interpreter."""
    folder, rows, _, expected = world
    installed = Path(tf.__file__).parent
    libraries = [
        installed / name for name in ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")
    ]
    source = Path(__file__).with_name("witness") / "score.c"
    program = tmp_path / "score"
    include, path = f"-I{installed / 'include'}", f"-Wl,-rpath,{installed}"
    compiler = shutil.which("cc")
    subprocess.run(
        [compiler, "-std=c11", "-Wall", include, source, *libraries, path, "-o", program],
        check=True,
    )
    with (tmp_path / "rows").open("wb") as file:
        for row in rows:
            request = to_example({k: v for k, v in row.items() if k in REQUEST_COLUMNS})
            file.write(len(request).to_bytes(8, "little") + request)
    (graph,) = saved_model_pb2.SavedModel.FromString(
        (folder / "model" / "saved_model.pb").read_bytes()
    ).meta_graphs
    signature = graph.signature_def["serving_default"]
    for name in ("click", "watch_time", "score"):
        tensors = (signature.inputs["examples"].name, signature.outputs[name].name)
        ended = subprocess.run(
            [program, folder / "model", *tensors, tmp_path / "rows"],
            capture_output=True,
            text=True,
            check=True,
            env={"TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        scores = np.array(ended.stdout.split(), float)
        np.testing.assert_allclose(scores, expected[name].numpy(), rtol=1e-5, atol=1e-6)


OPTIONS = {
    "int8": {"embeddings": "int8"},
    "bfloat16": {"precision": "bfloat16"},
    "float16 and int8": {"precision": "float16", "embeddings": "int8"},
    "xla": {"xla": True},
}


@pytest.fixture(scope="module", params=OPTIONS)
def option(request, world, ranker, tmp_path_factory):
    """The same ranker served in fewer bits, or compiled."""
    folder = tmp_path_factory.mktemp("option")
    serving = SERVING.model_copy(update=OPTIONS[request.param])
    transform = tft.TFTransformOutput(str(world[0] / "transform"))
    served = export(ranker, transform, CONFIG, str(folder), serving)
    raw = {"patterns": [str(world[0] / "raw-*")]}
    fn_args = SimpleNamespace(
        custom_config={"name": "shop", "raw_examples": raw}, serving_model_dir=folder
    )
    differences = write_warm_up(ranker, served, CONFIG, serving, fn_args)
    return request.param, folder, differences


def test_an_option_changes_scores_by_no_more_than_it_says(option, world):
    name, folder, differences = option
    _, rows, in_beam, expected = world
    signature = tf.saved_model.load(str(folder)).signatures["transformed_features"]
    inputs = {
        key: tf.constant(values, tf.int64 if kind == "id" else tf.float32)
        for key, (kind, values) in transformed_request(in_beam).items()
    }
    outputs = signature(**inputs)
    assert {values.dtype for values in outputs.values()} == {tf.float32}
    info = ModelInfo.model_validate_json((folder / "assets.extra/model_info.json").read_bytes())
    assert info.score_differences == differences
    rough = {"int8": 0.01, "bfloat16": 0.03, "float16 and int8": 0.01, "xla": 1e-5}[name]
    for task in ("click", "long_view"):
        gaps = np.abs(outputs[task] - expected[task].numpy())[: len(rows) - len(EDGE_ROWS)]
        stated = differences[task]
        # Stated by running the same operations one by one: that rounds in other places.
        assert gaps.max() < 2 * stated.largest + 1e-5
        assert 0 < stated.mean < stated.largest < rough
    assert (info.saved_bytes > 0) == ("int8" in name)


def test_only_a_model_that_asks_for_xla_must_be_compiled(option, world):
    name, folder, _ = option
    for model, expected in ((folder, name == "xla"), (world[0] / "model", False)):
        (graph,) = saved_model_pb2.SavedModel.FromString(
            (model / "saved_model.pb").read_bytes()
        ).meta_graphs
        functions = graph.graph_def.library.function
        assert any(function.attr["_XlaMustCompile"].b for function in functions) == expected


def test_a_model_in_fewer_bits_must_reproduce_its_own_scores(option):
    name, folder, _ = option
    if name not in ("float16 and int8", "xla"):
        pytest.skip("the check takes seconds; these two hold all that is special")
    info = ModelInfo.model_validate_json((folder / "assets.extra/model_info.json").read_bytes())
    contract = contract_of_info(info).model_dump(mode="json")
    report = probe.run(str(folder), contract)
    assert [check for check in report["checks"] if not check["passed"]] == []
    if name == "xla":
        refused = probe.run(str(folder), {**contract, "xla": False})
        assert "compiled by XLA" in refused["checks"][0]["detail"]
