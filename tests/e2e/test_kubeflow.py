"""Every step of the compiled pipeline, run by its own command as KFP's launcher would run it."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PIPELINE_ROOT = "minio://mlpipeline/v2/artifacts"


class Launcher:
    """Work of KFP's driver and launcher around a step, without a cluster.

    As theirs: an object store that knows files and no folders; local copies below a folder for the
    scheme, fresh for every step; input artifacts without a type; properties as numbers and texts;
    one ExecutorInput on the command line that names URIs; strict reading of the output file.
    """

    def __init__(self, pipeline_spec, folder):
        self.spec = pipeline_spec
        self.store = folder / "store"
        self.pod = folder / "pod"
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True)
        self.artifacts = {}

    def order(self):
        """Names of the tasks, each behind those it depends on."""
        tasks = self.spec["root"]["dag"]["tasks"]
        done = []
        while len(done) < len(tasks):
            done += [
                name
                for name, task in tasks.items()
                if name not in done and set(task.get("dependentTasks", ())) <= set(done)
            ]
        return done

    def run(self, name):
        """Runs a step; its exit code."""
        task = self.spec["root"]["dag"]["tasks"][name]
        component = self.spec["components"][task["componentRef"]["name"]]
        executor = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]
        container = executor["container"]
        shutil.rmtree(self.pod, ignore_errors=True)
        work, output_file = self.pod / "work", self.pod / "tmp/kfp_outputs/output_metadata.json"
        work.mkdir(parents=True)
        invocation = {
            "inputs": {
                "artifacts": {
                    key: self._fetch(**value["taskOutputArtifact"])
                    for key, value in task.get("inputs", {}).get("artifacts", {}).items()
                },
                "parameterValues": {
                    key: value["runtimeValue"]["constant"]
                    for key, value in task.get("inputs", {}).get("parameters", {}).items()
                },
            },
            "outputs": {
                "artifacts": {
                    key: self._prepare(name, key, definition["artifactType"])
                    for key, definition in component.get("outputDefinitions", {})
                    .get("artifacts", {})
                    .items()
                },
                "outputFile": str(output_file),
            },
        }
        message = json_format.ParseDict(invocation, pipeline_spec_pb2.ExecutorInput())
        argument = json_format.MessageToJson(message, indent=None)
        python, *command = container["command"]
        assert python == "python"
        command += [text.replace("{{$}}", argument) for text in container["args"]]
        assert max(map(len, command)) < 128 * 1024  # what Linux takes as one argument
        environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
        with (self.logs / f"{name}.log").open("w") as log:
            ended = subprocess.run(
                [sys.executable, *command],
                env=environment | {"TASKROUTE_KFP_ROOT": str(self.pod)},
                cwd=work,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if ended.returncode == 0:
            self._publish(name, message, output_file)
        return ended.returncode

    def said(self, name):
        return (self.logs / f"{name}.log").read_text()

    def folder_of(self, name, key):
        """An output as the object store holds it."""
        return self.store / self.artifacts[name, key]["uri"].removeprefix("minio://")

    def _pod_path(self, uri):
        return self.pod / uri.replace("://", "/")

    def _fetch(self, producerTask, outputArtifactKey):
        artifact = self.artifacts[producerTask, outputArtifactKey]
        stored = self.store / artifact["uri"].removeprefix("minio://")
        _copy_files(stored, self._pod_path(artifact["uri"]))
        return {"artifacts": [artifact | {"type": {"instanceSchema": ""}}]}

    def _prepare(self, name, key, artifact_type):
        uri = f"{PIPELINE_ROOT}/demo/run/{name}/1/{key}"
        self._pod_path(uri).parent.mkdir(parents=True, exist_ok=True)
        return {"artifacts": [{"name": key, "uri": uri, "type": artifact_type, "metadata": {}}]}

    def _publish(self, name, message, output_file):
        written = json_format.Parse(output_file.read_text(), pipeline_spec_pb2.ExecutorOutput())
        for key, prepared in message.outputs.artifacts.items():
            artifact = json_format.MessageToDict(prepared.artifacts[0])
            for found in written.artifacts[key].artifacts:
                assert found.uri == artifact["uri"]
                artifact["metadata"] |= json_format.MessageToDict(found.metadata)
            del artifact["type"]
            artifact["name"] = f"{name}.{key}"
            self.artifacts[name, key] = artifact
            _copy_files(self._pod_path(artifact["uri"]), self.store / artifact["uri"][8:])


def _copy_files(source, target):
    for file in source.rglob("*"):
        if file.is_file():
            copy_ = target / file.relative_to(source)
            copy_.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy_)


@pytest.fixture(scope="module")
def kubeflow(world, tmp_path_factory):
    """The shared config as KFP runs it, with a folder in place of the volume; all steps are run."""
    folder = tmp_path_factory.mktemp("kubeflow")
    volume = folder / "volume"
    volume.mkdir()
    shutil.copyfile(world.folder / "log.parquet", volume / "log.parquet")
    config = copy.deepcopy(world.config)
    config["evaluation"] = {"gates": [{"task": "click", "metric": "auc", "at_least": 0.5}]}
    config["runtime"] = {"kubeflow": {"volume": {"claim": "state", "mount_path": str(volume)}}}
    (folder / "demo.yaml").write_text(yaml.safe_dump(config))
    program = [sys.executable, "-m", "taskroute.pipeline", "compile", folder / "demo.yaml"]
    program += ["--image", "taskroute:1", "--pipeline-root", PIPELINE_ROOT]
    subprocess.run([*program, "-o", folder / "pipeline.yaml"], check=True, capture_output=True)
    spec, _ = yaml.safe_load_all((folder / "pipeline.yaml").read_text())
    launcher = Launcher(spec, folder)
    for name in launcher.order():
        assert launcher.run(name) == 0, launcher.said(name)[-3000:]
    launcher.serving = volume / "demo" / "serving" / "demo"
    return launcher


def test_the_steps_push_a_model_that_scores_as_that_of_the_local_run(world, kubeflow):
    import pyarrow.parquet as pq
    import tensorflow as tf

    from taskroute.components.logs.example_tensors import tf_examples

    file = world.artifact("LogExampleGen/examples/*/Split-test/*-00000-of-*.parquet")
    examples = tf_examples(pq.read_table(file).slice(0, 500).combine_chunks().to_batches()[0])
    local, pushed = (
        tf.saved_model.load(str(folder / "1")).signatures["serving_default"](examples=examples)
        for folder in (world.serving, kubeflow.serving)
    )
    assert set(local) == set(pushed)
    for task, scores in local.items():
        np.testing.assert_allclose(pushed[task], scores, rtol=0, atol=1e-6)


def test_the_last_step_makes_the_page_of_the_run(kubeflow):
    html = (kubeflow.folder_of("RunReport", "report") / "report.html").read_text()
    assert "Blessed and pushed as version 1" in html
    assert "Version 1 serves." in html
    assert "Learning curves" in html
    assert "Code digest" in html


def test_artifacts_know_their_uris_not_the_paths_inside_a_pod(kubeflow):
    for (name, key), artifact in kubeflow.artifacts.items():
        assert str(kubeflow.pod) not in json.dumps(artifact), (name, key)
    model = kubeflow.artifacts["Trainer", "model"]["uri"]
    assert kubeflow.artifacts["TaskEvaluator", "blessing"]["metadata"]["current_model"] == model


def test_a_later_run_of_the_same_file_compares_with_what_serves_by_then(kubeflow):
    metrics = kubeflow.folder_of("TaskEvaluator", "evaluation") / "metrics.json"
    assert json.loads(metrics.read_text())["baseline"] is None
    assert kubeflow.run("TaskEvaluator") == 0, kubeflow.said("TaskEvaluator")[-3000:]
    baseline = json.loads(metrics.read_text())["baseline"]
    assert baseline["version"] == 1
    assert Path(baseline["path"]) == kubeflow.serving / "1"


def test_a_step_that_a_user_s_mistake_stops_says_one_sentence_and_its_exit_code(kubeflow):
    log = kubeflow.serving.parents[2] / "log.parquet"
    log.rename(log.with_suffix(".away"))
    try:
        assert kubeflow.run("LogExampleGen") == 3
    finally:
        log.with_suffix(".away").rename(log)
    last = kubeflow.said("LogExampleGen").splitlines()[-1]
    assert last.startswith("taskroute: ")
    assert "log.parquet: no file matches" in last
    assert "Traceback" not in kubeflow.said("LogExampleGen")
