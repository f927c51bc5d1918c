"""Entrypoint of a step, given the launcher's words; whole steps are run in tests/e2e."""

import pytest
from tfx.utils import import_utils

from taskroute.pipeline.kubeflow.entrypoint import OWN_TYPES, localize, to_local, to_remote

TYPE = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}


@pytest.fixture
def pod(monkeypatch):
    monkeypatch.setenv("TASKROUTE_KFP_ROOT", "/pod")


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("minio://mlpipeline/v2/a", "/pod/minio/mlpipeline/v2/a"),
        ("s3://bucket/a", "/pod/s3/bucket/a"),
        ("gs://bucket/a", "/pod/gcs/bucket/a"),
    ],
)
def test_a_uri_and_its_path_lead_to_each_other(pod, uri, path):
    assert to_local(uri) == path
    assert to_remote(path) == uri


@pytest.mark.parametrize("text", ["/state/demo", "click", "", "hdfs://host/a"])
def test_other_texts_stay(pod, text):
    assert to_local(text) == to_remote(text) == text


def test_without_the_variable_paths_are_those_of_a_pod(monkeypatch):
    monkeypatch.delenv("TASKROUTE_KFP_ROOT", raising=False)
    assert to_local("s3://bucket/a") == "/s3/bucket/a"


def test_inputs_get_the_type_of_their_definition(pod):
    artifact = {"uri": "s3://b/a", "type": {"instanceSchema": ""}, "metadata": {"n": 2.0}}
    invocation = {"inputs": {"artifacts": {"examples": {"artifacts": [artifact]}}}}
    local = localize(invocation, {"artifacts": {"examples": {"artifactType": TYPE}}})
    (found,) = local["inputs"]["artifacts"]["examples"]["artifacts"]
    assert found == {"uri": "/pod/s3/b/a", "type": TYPE, "metadata": {"n": 2.0}}


def test_uris_among_the_properties_of_an_input_become_paths(pod):
    artifact = {"uri": "s3://b/a", "metadata": {"current_model": "s3://b/model"}}
    invocation = {"inputs": {"artifacts": {"blessing": {"artifacts": [artifact]}}}}
    local = localize(invocation, {"artifacts": {"blessing": {"artifactType": TYPE}}})
    (found,) = local["inputs"]["artifacts"]["blessing"]["artifacts"]
    assert found["metadata"] == {"current_model": "/pod/s3/b/model"}


def test_the_launcher_s_own_output_is_left_out():
    outputs = {"artifacts": {"executor-logs": {"artifacts": [{"uri": "s3://b/logs"}]}}}
    assert localize({"outputs": outputs}, {}) == {"outputs": {"artifacts": {}}}


@pytest.mark.parametrize("name", OWN_TYPES)
def test_an_artifact_type_of_ours_is_where_the_table_says(name):
    found = import_utils.import_class_by_path(OWN_TYPES[name])
    assert name == found.TYPE_NAME
    artifact = {"uri": "s3://b/a", "type": {"instanceSchema": f"title: {name}\ntype: object\n"}}
    invocation = {"outputs": {"artifacts": {"quarantine": {"artifacts": [artifact]}}}}
    (output,) = localize(invocation, {})["outputs"]["artifacts"]["quarantine"]["artifacts"]
    assert output["type"] == {"schemaTitle": OWN_TYPES[name]}
