"""Entry point of a step's container: TFX's executor, as the launcher of KFP 2.x calls it.

The launcher fetches input artifacts from the object store to folders such as /minio/bucket/key,
calls this with an ExecutorInput that still names minio://bucket/key, and stores the content of the
outputs' folders. This module fills four gaps between launcher and TFX:

* TensorFlow opens gs:// only, and our executors local paths: URIs become these folders, and become
  URIs again in the executor's description of its outputs;
* an input may come without its artifact type, which is in the component's definition; and TFX
  takes the name of a type that is not its own for the path of a class;
* TFX's own drivers make the folder of an output before the executor runs, the launcher does not;
* TensorFlow and Beam may crash while the interpreter shuts down: the process ends without that.
"""

import argparse
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import yaml

from taskroute.schemas.errors import UserError

# Local folder of a URI's files, by scheme, as the launcher keeps them.
SCHEMES = {"gs://": "/gcs/", "s3://": "/s3/", "minio://": "/minio/"}

# Variable of the folder above them, in place of `/`, as in tests.
ROOT_VARIABLE = "TASKROUTE_KFP_ROOT"

# Classes of our own artifact types, by TYPE_NAME.
OWN_TYPES = {
    "taskroute.Quarantine": "taskroute.components.artifact_types.Quarantine",
    "taskroute.ReportPage": "taskroute.components.artifact_types.ReportPage",
}

# Output of the launcher; no executor knows it.
_LOGS = "executor-logs"


def run_step(arguments: list[str]) -> int:
    """Runs one step.

    Args:
        arguments: Arguments that TFX writes into the IR: `--executor_class_path`,
            `--json_serialized_invocation_args`, an ExecutorInput that the launcher filled in,
            `--json_serialized_inputs_spec_args`, the ComponentInputsSpec; then Beam's options.

    Returns:
        Exit code: 0, or that of a user's mistake, which is printed in one sentence.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", required=True)
    options, beam_arguments = parser.parse_known_args(arguments)
    invocation = localize(
        json.loads(options.json_serialized_invocation_args),
        json.loads(options.json_serialized_inputs_spec_args),
    )
    options.json_serialized_invocation_args = json.dumps(invocation)
    for artifact in _artifacts(invocation, "outputs"):
        os.makedirs(artifact["uri"], exist_ok=True)

    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

    try:
        kubeflow_v2_run_executor.main((options, beam_arguments))
    except UserError as error:
        sys.stderr.write(f"taskroute: {error}\n")
        return error.exit_code
    output_file = Path(invocation["outputs"]["outputFile"])
    output = json.loads(output_file.read_text(encoding="utf-8"))
    output_file.write_text(json.dumps(_replace(output, to_remote)), encoding="utf-8")
    return 0


def localize(invocation: dict[str, Any], inputs_spec: dict[str, Any]) -> dict[str, Any]:
    """Gives an ExecutorInput local paths and a type for every input.

    Args:
        invocation: ExecutorInput as JSON.
        inputs_spec: ComponentInputsSpec of the step as JSON.
    """
    definitions = inputs_spec.get("artifacts", {})
    for side in ("inputs", "outputs"):
        channels = invocation.get(side, {}).get("artifacts", {})
        channels.pop(_LOGS, None)
        for channel, entry in channels.items():
            for artifact in entry.get("artifacts", ()):
                artifact["uri"] = to_local(artifact["uri"])
                artifact["metadata"] = _replace(artifact.get("metadata", {}), to_local)
                if side == "inputs":
                    artifact["type"] = definitions[channel]["artifactType"]
                artifact["type"] = _importable(artifact["type"])
    return invocation


def to_local(text: str) -> str:
    """Turns a URI into the launcher's path of its files; leaves other texts as they are."""
    for scheme, folder in SCHEMES.items():
        if text.startswith(scheme):
            return f"{os.environ.get(ROOT_VARIABLE, '')}{folder}{text.removeprefix(scheme)}"
    return text


def to_remote(text: str) -> str:
    """Inverse of `to_local`."""
    for scheme, folder in SCHEMES.items():
        local = f"{os.environ.get(ROOT_VARIABLE, '')}{folder}"
        if text.startswith(local):
            return f"{scheme}{text.removeprefix(local)}"
    return text


def _importable(artifact_type: dict[str, str]) -> dict[str, str]:
    """ArtifactTypeSchema whose class TFX can import."""
    schema = yaml.safe_load(artifact_type.get("instanceSchema", "")) or {}
    path = OWN_TYPES.get(schema.get("title", ""))
    return artifact_type if path is None else {"schemaTitle": path}


def _artifacts(invocation: dict[str, Any], side: str) -> list[dict[str, Any]]:
    channels = invocation.get(side, {}).get("artifacts", {})
    return [artifact for entry in channels.values() for artifact in entry.get("artifacts", ())]


def _replace(value: Any, function: Any) -> Any:
    """Applies `function` to every text in JSON."""
    if isinstance(value, str):
        return function(value)
    if isinstance(value, list):
        return [_replace(item, function) for item in value]
    if isinstance(value, dict):
        return {key: _replace(item, function) for key, item in value.items()}
    return value


def main() -> None:
    """Runs the step of the command line and ends the process."""
    arguments, sys.argv = sys.argv[1:], sys.argv[:1]  # TFX would hand ours to Beam
    try:
        code = run_step(arguments)
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
