"""Files beside the operations of an exported model, and programs that can run it."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from served_shop import OUTPUTS, REQUEST_COLUMNS, SERVING, SIGNATURES, to_example
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from taskroute.components.served import probe
from taskroute.components.served.check import contract_of_info
from taskroute.schemas.serving import ModelInfo


def test_the_saved_model_holds_weights_and_no_optimizer(world):
    folder = world[0]
    loaded = tf.saved_model.load(str(folder / "model"))
    signature = loaded.signatures["serving_default"]
    names = {op.type for op in signature.graph.get_operations()}
    assert not any("PyFunc" in name for name in names)
    variables = tf.train.list_variables(str(folder / "model" / "variables" / "variables"))
    assert not any("optimizer" in name.lower() for name, _ in variables)
    assert not (folder / "model" / "keras_metadata.pb").exists()


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
    """Model server in small: TensorFlow's C API, libraries from the wheel, no interpreter."""
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
