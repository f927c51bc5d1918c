"""What Kubernetes must know of the stages and a PipelineSpec cannot say.

KFP reads it from a second document beside the PipelineSpec, in the form of its package
kfp-kubernetes (kubernetes_executor_config.proto). A name is given twice, as that package does: the
newer field for newer servers, the plain one for those before.
"""

from typing import Any

from taskroute.schemas.kubeflow import Kubeflow, Secret, Step, Volume


def make_platform_spec(pipeline_spec: dict[str, Any], settings: Kubeflow) -> dict[str, Any]:
    """The PlatformSpec of a pipeline, as JSON.

    Args:
        pipeline_spec: Names the executor of each stage.
        settings: What the stages are given.
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
