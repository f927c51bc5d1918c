"""TFX's InfraValidator in the DAG, where the config asks for it. No container is started here."""

import json

import pytest
from pydantic import ValidationError
from tfx import types
from tfx.dsl.compiler import compiler
from tfx.types import standard_artifacts

from taskroute.components.serving_check.infra_validator import make_infra_validator
from taskroute.pipeline.dag.pipeline import create_pipeline
from taskroute.pipeline.kubeflow.compiler import compile_pipeline
from taskroute.pipeline.run.paths import RunPaths
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.infra_validation import InfraValidation
from taskroute.schemas.recommender import RecommenderConfig

CONFIG = {
    "name": "shop",
    "source": {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}},
    "features": [{"name": "user", "kind": "categorical", "hash_buckets": 9}],
    "tasks": [{"name": "click", "label": {"column": "clicked"}}],
}
SETTINGS = {"image": "registry/tensorflow/serving:2.20.0-gpu", "platform": "docker"}


def compiled(folder, runtime):
    config = RecommenderConfig.model_validate({**CONFIG, "runtime": runtime})
    source = config.source.model_copy(update={"path": str(folder / "log.csv")})
    pipeline = create_pipeline(config, source, "", RunPaths(folder, "shop"))
    nodes = compiler.Compiler().compile(pipeline).nodes
    return {node.pipeline_node.node_info.id: node.pipeline_node for node in nodes}


def test_there_is_none_unless_it_is_asked_for(tmp_path):
    assert "InfraValidator" not in compiled(tmp_path, {})


def test_the_pusher_obeys_it_and_serving_check(tmp_path):
    stages = compiled(tmp_path, {"infra_validator": SETTINGS})
    assert {"ServingCheck", "InfraValidator"} <= set(stages["ModelPusher"].upstream_nodes)
    assert "Trainer" in stages["InfraValidator"].upstream_nodes


@pytest.mark.parametrize("platform", ["docker", "kubernetes"])
def test_it_starts_the_image_on_the_platform(platform):
    settings = InfraValidation(**{**SETTINGS, "platform": platform})
    stage = make_infra_validator(types.Channel(standard_artifacts.Model), "shop", settings)
    spec = json.loads(stage.exec_properties["serving_spec"])
    assert spec == {
        "tensorflow_serving": {
            "image_name": "registry/tensorflow/serving",
            "tags": ["2.20.0-gpu"],
        },
        "model_name": "shop",
        {"docker": "local_docker", "kubernetes": "kubernetes"}[platform]: {},
    }


def test_kubeflow_refuses_it_in_a_sentence():
    config = RecommenderConfig.model_validate({**CONFIG, "runtime": {"infra_validator": SETTINGS}})
    with pytest.raises(ConfigError, match=r"runtime\.infra_validator: .* remove it"):
        compile_pipeline(config, "image", "gs://bucket")


@pytest.mark.parametrize("image", ["tensorflow/serving", "host:5000/serving"])
def test_an_image_has_a_tag(image):
    with pytest.raises(ValidationError, match="has no tag"):
        InfraValidation(image=image)
