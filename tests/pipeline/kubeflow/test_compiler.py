"""The compiled pipeline, read as Kubeflow Pipelines reads it."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from google.protobuf import json_format
from kfp import components
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.kubeflow.v2 import compiler_utils

from taskroute.pipeline.cli.main import cli
from taskroute.pipeline.kubeflow.compiler import COMMAND, compile_pipeline
from taskroute.pipeline.kubeflow.entrypoint import OWN_TYPES
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.recommender import load_config
from taskroute.schemas.runtime import Runtime

IMAGE = "registry.example/taskroute@sha256:0123"
ROOT = "gs://bucket/runs"
KUBEFLOW = {
    "volume": {"claim": "models", "mount_path": "/state"},
    "service_account": "trainer",
    "secrets": [{"name": "store", "variables": {"AWS_SECRET_ACCESS_KEY": "secret"}}],
    "every_step": {"cpu": 0.5, "memory": "2Gi", "retries": 1},
    "steps": {
        "Trainer": {
            "cpu": 8,
            "accelerator": {"count": 2},
            "node_selector": {"pool": "gpu"},
            "tolerations": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
        },
        "ModelPusher": {"retries": 0},
    },
}


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    """Writes a config with the given `runtime.kubeflow`; gives its path."""

    def write(kubeflow, **changes):
        content = yaml.safe_load(Path("examples/demo.yaml").read_text())
        content |= {"name": "Shop_2", "runtime": {"kubeflow": kubeflow}}
        content["source"] |= {
            "path": "logs/{YYYY}-{MM}-{DD}/*.parquet",
            "window_days": 3,
        } | changes
        path = tmp_path_factory.mktemp("config") / "shop.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture(scope="module")
def compiled(config_file):
    return compile_pipeline(load_config(config_file(KUBEFLOW)), IMAGE, ROOT, "gs://logs/shop")


@pytest.fixture(scope="module")
def containers(compiled):
    executors = compiled.pipeline_spec["deploymentSpec"]["executors"]
    assert all(list(executor) == ["container"] for executor in executors.values())
    return {name: executor["container"] for name, executor in executors.items()}


def test_kfp_s_own_messages_and_loader_read_it(compiled, tmp_path):
    spec = json_format.ParseDict(compiled.pipeline_spec, pipeline_spec_pb2.PipelineSpec())
    assert spec.schema_version == "2.1.0"  # the only one that KFP's server takes
    assert spec.pipeline_info.name == "shop-2"
    assert spec.default_pipeline_root == ROOT
    json_format.ParseDict(compiled.platform_spec, pipeline_spec_pb2.PlatformSpec())
    compiled.write(tmp_path / "pipeline.yaml")
    loaded = components.load_component_from_file(str(tmp_path / "pipeline.yaml"))
    assert loaded.name == "shop-2"
    assert loaded.platform_spec.platforms["kubernetes"]


def test_yaml_and_json_hold_the_same(compiled, tmp_path):
    for name in ("pipeline.yaml", "pipeline.json"):
        compiled.write(tmp_path / name)
    documents = list(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text()))
    assert documents == list(json.loads((tmp_path / "pipeline.json").read_text()).values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipeline.json", "pipeline.yaml"]


def test_every_step_runs_our_entrypoint_in_the_image(containers):
    for container in containers.values():
        assert container["image"] == IMAGE
        assert container["command"] == list(COMMAND)
        assert "{{$}}" in container["args"]
        assert "lifecycle" not in container  # TFX's driver hook: no server calls it


def test_own_executors_and_functions_are_named_by_dotted_paths(compiled, containers):
    executors = {name: container["args"][1] for name, container in containers.items()}
    assert sum(path.startswith("taskroute.components.") for path in executors.values()) == 11
    tasks = compiled.pipeline_spec["root"]["dag"]["tasks"]
    run_fn = tasks["Trainer"]["inputs"]["parameters"]["run_fn"]
    assert run_fn["runtimeValue"]["constant"] == "taskroute.models.trainer.run_fn"


def test_every_artifact_type_has_a_class_in_the_steps(compiled):
    known = {*OWN_TYPES, *compiler_utils.TITLE_TO_CLASS_PATH}
    for component in compiled.pipeline_spec["components"].values():
        for side in ("inputDefinitions", "outputDefinitions"):
            for definition in component.get(side, {}).get("artifacts", {}).values():
                schema = yaml.safe_load(definition["artifactType"]["instanceSchema"])
                assert schema["title"] in known


def test_the_last_step_makes_the_page_of_the_run(compiled):
    tasks = compiled.pipeline_spec["root"]["dag"]["tasks"]
    report = tasks["RunReport"]
    assert {"LogExampleGen", "TaskEvaluator", "ServingCheck", "ModelPusher"} <= set(
        report["dependentTasks"]
    )
    assert not any("RunReport" in task.get("dependentTasks", ()) for task in tasks.values())
    # A refused model fails no step: the page is made whatever the gate says.
    assert "triggerPolicy" not in report
    config = report["inputs"]["parameters"]["config"]["runtimeValue"]["constant"]
    assert json.loads(config)["name"] == "Shop_2"


def test_the_log_is_read_where_the_stages_see_it_and_when_they_run(compiled):
    tasks = compiled.pipeline_spec["root"]["dag"]["tasks"]
    parameters = tasks["LogExampleGen"]["inputs"]["parameters"]
    source = json.loads(parameters["source"]["runtimeValue"]["constant"])
    assert source["path"] == "gs://logs/shop/logs/{YYYY}-{MM}-{DD}/*.parquet"
    assert source["last_span"] is None
    assert parameters["data_fingerprint"]["runtimeValue"]["constant"] == ""


def test_nothing_is_cached_and_nothing_is_of_this_machine(compiled):
    text = json.dumps(compiled.pipeline_spec)
    assert "enableCache" not in text
    assert str(Path.cwd()) not in text
    serving = compiled.pipeline_spec["root"]["dag"]["tasks"]["ModelPusher"]["inputs"]["parameters"]
    assert serving["destination"]["runtimeValue"]["constant"] == "/state/Shop_2/serving/Shop_2"
    assert serving["serving_state"]["runtimeValue"]["constant"] == "nothing"


def test_a_step_has_its_own_resources_before_those_of_every_step(containers):
    trainer = containers["Trainer_executor"]["resources"]
    assert trainer["resourceCpuLimit"] == "8"
    assert trainer["resourceMemoryLimit"] == "2Gi"
    assert trainer["memoryLimit"] == pytest.approx(2 * 2**30 / 1e9)
    assert trainer["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert trainer["accelerator"]["resourceCount"] == "2"
    assert containers["Transform_executor"]["resources"]["cpuLimit"] == 0.5
    assert "accelerator" not in containers["Transform_executor"]["resources"]


def test_retries_are_those_of_the_step(compiled):
    tasks = compiled.pipeline_spec["root"]["dag"]["tasks"]
    assert tasks["Transform"]["retryPolicy"]["maxRetryCount"] == 1
    assert "retryPolicy" not in tasks["ModelPusher"]


def test_kubernetes_is_told_of_volume_secrets_and_nodes(compiled):
    specs = compiled.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(specs) == set(compiled.pipeline_spec["deploymentSpec"]["executors"])
    for spec in specs.values():
        assert spec["pvcMount"][0]["constant"] == "models"
        assert spec["pvcMount"][0]["mountPath"] == "/state"
        assert spec["secretAsEnv"][0]["keyToEnv"] == [
            {"envVar": "AWS_SECRET_ACCESS_KEY", "secretKey": "secret"}
        ]
    assert specs["Trainer_executor"]["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert "nodeSelector" not in specs["Transform_executor"]


def test_kfp_s_kubernetes_messages_read_it(compiled):
    specs = compiled.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for spec in specs.values():
        json_format.ParseDict(spec, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


@pytest.mark.parametrize(
    ("kubeflow", "root", "data", "complaint"),
    [
        ({}, ROOT, None, "runtime.kubeflow.volume: is missing"),
        (KUBEFLOW, "/runs", None, "--pipeline-root: '/runs' must start with one of gs://"),
        (KUBEFLOW, ROOT, "/home/me", r"source\.path: '/home/me/logs/.*' is not in the volume"),
        (KUBEFLOW, ROOT, "data", r"source\.path: 'data/logs/.*' is not in the volume"),
        (
            KUBEFLOW | {"steps": {"Train": {"cpu": 1}}},
            ROOT,
            None,
            "there is no stage 'Train'; the stages are LogExampleGen, ",
        ),
    ],
)
def test_what_could_not_run_is_refused_in_one_sentence(
    config_file, kubeflow, root, data, complaint
):
    with pytest.raises(ConfigError, match=complaint):
        compile_pipeline(load_config(config_file(kubeflow)), IMAGE, root, data)


def test_what_tfx_does_not_compile_is_refused(config_file):
    config = load_config(config_file(KUBEFLOW))
    validation = {"image": "tensorflow/serving:2.20.0"}
    runtime = Runtime(kubeflow=KUBEFLOW, infra_validator=validation)
    with pytest.raises(ConfigError, match=r"runtime\.infra_validator"):
        compile_pipeline(config.model_copy(update={"runtime": runtime}), IMAGE, ROOT)


def test_a_training_goes_on_from_what_serves_where_that_is_asked(config_file, compiled):
    config = load_config(config_file(KUBEFLOW))
    warm = compile_pipeline(config, IMAGE, ROOT, warm_start=True)
    said = []
    for found in (compiled, warm):
        parameters = found.pipeline_spec["root"]["dag"]["tasks"]["Trainer"]["inputs"]["parameters"]
        said.append(json.loads(parameters["custom_config"]["runtimeValue"]["constant"]))
    assert "warm_start" not in said[0]
    assert said[1]["warm_start"] == "/state/Shop_2/serving/Shop_2"


def test_the_command_ends_in_one_sentence_and_writes_nothing(config_file, tmp_path):
    output = tmp_path / "pipeline.yaml"
    arguments = ["compile", str(config_file({})), "--image", IMAGE, "-o", str(output)]
    result = CliRunner().invoke(cli, [*arguments, "--pipeline-root", ROOT])
    assert result.exit_code == 2
    assert result.stderr.startswith("taskroute: runtime.kubeflow.volume")
    assert result.stderr.count("\n") == 1
    assert not output.exists()


def test_a_file_of_another_kind_is_refused(compiled, tmp_path):
    with pytest.raises(ConfigError, match=r"must end in \.yaml or \.json"):
        compiled.write(tmp_path / "pipeline.txt")
