"""`taskroute serve`: a real gRPC client and curl get what the model gives."""

import base64
import http.client
import json
import shutil
import signal
import subprocess
import sys

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import any_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from taskroute.pipeline.server.served_model import find_model
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.serving import ModelInfo, Serving

CURL = shutil.which("curl")
INFO = ModelInfo(
    name="shop",
    config_digest="0",
    data_span=None,
    num_rows={},
    binary_tasks=("click",),
    regression_tasks=("watch",),
    serving=Serving(batch_sizes=(1,)),
)


def save_model(path, factor=1.0):
    """`raw_features` and `serving_default` of a text's length and a list of numbers."""
    module = tf.Module()
    module.factor = tf.Variable(factor)

    def score(user, ages):
        length = module.factor * tf.cast(tf.strings.length(user), tf.float32)
        return {"click": length, "watch": length / tf.reduce_sum(ages, axis=1)}

    text = tf.TensorSpec([None], tf.string, name="user")
    numbers = tf.TensorSpec([None, None], tf.float32, name="ages")

    @tf.function(input_signature=[{"user": text, "ages": numbers}])
    def raw_features(row):
        return score(row["user"], row["ages"])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_default(examples):
        spec = {"user": tf.io.FixedLenFeature([], tf.string, "")}
        user = tf.io.parse_example(examples, spec)["user"]
        return score(user, tf.ones([tf.shape(user)[0], 1]))

    signatures = {"raw_features": raw_features, "serving_default": serving_default}
    tf.saved_model.save(module, str(path), signatures=signatures)
    (path / "assets.extra").mkdir()
    (path / "assets.extra" / "model_info.json").write_text(INFO.model_dump_json())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Ports of a server of version 7, which is ended as Ctrl-C ends it."""
    folder = tmp_path_factory.mktemp("serving") / "shop"
    save_model(folder / "7")
    program = [sys.executable, "-m", "taskroute.pipeline", "serve", folder]
    process = subprocess.Popen(
        [*program, "--port", "0", "--rest-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    said = [process.stdout.readline() for _ in range(3)]
    assert said[0].startswith("shop  version 7")
    address = said[1].split()[1]
    url = said[2].split()[1].removesuffix("/v1/models/shop:predict")
    yield address, url
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0


@pytest.fixture
def stub(server):
    with grpc.insecure_channel(server[0]) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request_of(signature, version=None, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "shop", signature
    if version is not None:
        request.model_spec.version.value = version
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return request


def example(user):
    made = tf.train.Example()
    made.features.feature["user"].bytes_list.value.append(user.encode())
    return made.SerializeToString()


def call(url, method, path, body=None):
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, json.load(answer)


def post(url, content, path="/v1/models/shop:predict"):
    body = content if isinstance(content, bytes) else json.dumps(content)
    return call(url, "POST", path, body)


def test_a_grpc_client_gets_every_output_of_its_rows(stub):
    response = stub.Predict(request_of("", examples=[example("ab"), example("abcd")]))
    outputs = {name: tf.make_ndarray(x).tolist() for name, x in response.outputs.items()}
    assert outputs == {"click": [2.0, 4.0], "watch": [2.0, 4.0]}
    assert (response.model_spec.name, response.model_spec.version.value) == ("shop", 7)


def test_a_grpc_client_may_ask_for_some_outputs_of_a_version(stub):
    ages = np.array([[1, 1], [1, 3]], np.float32)
    request = request_of("raw_features", 7, user=["ü", "漢字"], ages=ages)
    request.output_filter.append("watch")
    response = stub.Predict(request)
    assert list(response.outputs) == ["watch"]
    assert tf.make_ndarray(response.outputs["watch"]).tolist() == [1.0, 1.5]


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (request_of("raw_features", user=["a"]), "INVALID_ARGUMENT", "takes ['ages', 'user']"),
        (request_of("nope", user=["a"]), "NOT_FOUND", "no signature nope"),
        (request_of("", 8, examples=[b""]), "NOT_FOUND", "shop, version 8 is not served here"),
        (request_of("", examples=[1.0]), "INVALID_ARGUMENT", "examples must be string"),
        (request_of("", examples=[b"\xff"]), "INVALID_ARGUMENT", ""),
    ],
)
def test_a_request_that_cannot_be_answered_has_a_code_and_a_reason(stub, request_, code, words):
    with pytest.raises(grpc.RpcError) as refusal:
        stub.Predict(request_)
    assert refusal.value.code().name == code
    assert words in refusal.value.details()


def test_metadata_names_the_inputs_and_outputs_of_every_signature(stub):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "shop"
    packed = stub.GetModelMetadata(request).metadata["signature_def"]
    assert isinstance(packed, any_pb2.Any)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    packed.Unpack(signatures)
    assert set(signatures.signature_def) == {"serving_default", "raw_features"}
    raw = signatures.signature_def["raw_features"]
    assert set(raw.inputs) == {"user", "ages"}
    assert set(raw.outputs) == {"click", "watch"}


def test_rest_answers_rows_by_rows_and_columns_by_columns(server):
    rows = [{"user": "a", "ages": [1, 1]}, {"user": "abc", "ages": [2, 0]}]
    status, answer = post(server[1], {"signature_name": "raw_features", "instances": rows})
    assert status == 200
    assert answer == {"predictions": [{"click": 1, "watch": 0.5}, {"click": 3, "watch": 1.5}]}
    columns = {"user": ["a", "abc"], "ages": [[1, 1], [2, 0]]}
    status, answer = post(server[1], {"signature_name": "raw_features", "inputs": columns})
    assert answer == {"outputs": {"click": [1, 3], "watch": [0.5, 1.5]}}


def test_rest_takes_serialized_examples_in_base64(server):
    encoded = base64.b64encode(example("abcde")).decode()
    _, answer = post(server[1], {"instances": [{"b64": encoded}]})
    assert answer == {"predictions": [{"click": 5, "watch": 5}]}


def test_rest_writes_what_json_has_no_number_for_as_text(server):
    inputs = {"user": ["", "a"], "ages": [[0], [0]]}
    _, answer = post(server[1], {"signature_name": "raw_features", "inputs": inputs})
    assert answer["outputs"]["watch"] == ["nan", "inf"]


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"{", 400, "is not JSON"),
        ({"rows": []}, 400, "either `instances` or `inputs`"),
        ({"instances": []}, 400, "must be a list of rows"),
        ({"instances": [{"b64": "%"}]}, 400, "cannot be read as string"),
        ({"instances": [1.5]}, 400, "is no text"),
        ({"signature_name": "nope", "instances": ["a"]}, 404, "no signature nope"),
        ({"signature_name": "raw_features", "instances": ["a"]}, 400, "must be named"),
        (
            {"signature_name": "raw_features", "inputs": {"user": ["a"], "ages": [["x"]]}},
            400,
            "cannot be read as float32",
        ),
        (
            {"signature_name": "raw_features", "inputs": {"user": ["a"], "ages": [1]}},
            400,
            "Received: float32 (1,)",
        ),
    ],
)
def test_rest_refuses_with_a_status_and_a_reason(server, content, status, words):
    found, answer = post(server[1], content)
    assert found == status
    assert words in answer["error"]


def test_rest_tells_status_and_metadata_and_knows_one_model(server):
    _, answer = call(server[1], "GET", "/v1/models/shop")
    (version,) = answer["model_version_status"]
    assert (version["version"], version["state"]) == ("7", "AVAILABLE")
    _, answer = call(server[1], "GET", "/v1/models/shop/versions/7/metadata")
    content = answer["metadata"]["signature_def"]["signature_def"]
    assert content["serving_default"]["inputs"]["examples"]["dtype"] == "DT_STRING"
    found, answer = post(server[1], {"instances": ["a"]}, "/v1/models/shop/versions/8:predict")
    assert found == 404
    assert "version 8 is not served here" in answer["error"]


@pytest.mark.skipif(CURL is None, reason="no curl here")
def test_curl_gets_the_same(server):
    body = json.dumps({"signature_name": "raw_features", "inputs": {"user": ["a"], "ages": [[4]]}})
    url = f"{server[1]}/v1/models/shop:predict"
    said = subprocess.run([CURL, "-s", "-d", body, url], capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == {"outputs": {"click": [1.0], "watch": [0.25]}}


def test_a_port_that_is_taken_is_a_sentence(server, tmp_path):
    save_model(tmp_path / "1")
    port = server[1].rsplit(":", 1)[1]
    program = [sys.executable, "-m", "taskroute.pipeline", "serve", tmp_path / "1", "--port", "0"]
    ended = subprocess.run([*program, "--rest-port", port], capture_output=True, text=True)
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("taskroute: 127.0.0.1: ")
    assert "choose other ports" in last


def test_the_newest_version_is_found_and_a_folder_without_one_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds neither a SavedModel nor versions"):
        find_model(tmp_path)
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").touch()
    with pytest.raises(ConfigError, match="only a model that `taskroute run` exported"):
        find_model(tmp_path)
    (tmp_path / "10" / "assets.extra").mkdir(parents=True)
    (tmp_path / "10" / "assets.extra" / "model_info.json").write_text(INFO.model_dump_json())
    assert find_model(tmp_path).version == 10
