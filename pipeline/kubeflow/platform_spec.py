"""PlatformSpec: settings of the stages for Kubernetes that a PipelineSpec cannot express.

KFP reads it from a second document beside the PipelineSpec, in the form of its package
kfp-kubernetes (kubernetes_executor_config.proto). Like that package, it writes a name twice: in the
newer field for newer servers, in the plain one for older ones.
"""

from typing import Any

from taskroute.schemas.kubeflow import Kubeflow, Secret, Step, Volume


def make_platform_spec(pipeline_spec: dict[str, Any], settings: Kubeflow) -> dict[str, Any]:
    """Makes the PlatformSpec of a pipeline, as JSON.

    Args:
        pipeline_spec: PipelineSpec, which names the executor of each stage.
        settings: Volume, secrets and placement of the stages.
    """
    executors = {
        component["executorLabel"]: _executor(settings, settings.step(name))
        for name, component in pipeline_spec["components"].items()
    }
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _executor(settings: Kubeflow, step: Step) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if settings.volume is not None:
        config["pvcMount"] = [_mount(settings.volume)]
    if settings.secrets:
        config["secretAsEnv"] = [_secret(secret) for secret in settings.secrets]
    if step.node_selector:
        config["nodeSelector"] = {"labels": step.node_selector}
    if step.tolerations:
        config["tolerations"] = [
            toleration.model_dump(exclude_none=True) for toleration in step.tolerations
        ]
    return config


def _mount(volume: Volume) -> dict[str, Any]:
    return {
        "constant": volume.claim,
        "pvcNameParameter": _constant(volume.claim),
        "mountPath": volume.mount_path,
    }


def _secret(secret: Secret) -> dict[str, Any]:
    return {
        "secretName": secret.name,
        "secretNameParameter": _constant(secret.name),
        "keyToEnv": [
            {"envVar": variable, "secretKey": key} for variable, key in secret.variables.items()
        ],
    }


def _constant(value: str) -> dict[str, Any]:
    return {"runtimeValue": {"constant": value}}
