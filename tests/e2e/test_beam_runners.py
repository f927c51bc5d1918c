"""Other runners than the direct one write the same examples, vocabularies and transformed values.

Beam's own job server stands for all that take a portable pipeline: stages, data and workers are
reached over gRPC. Prism, Beam's runner in Go, is named by PRISM. Flink needs Java and a job server,
named by FLINK_JOB_SERVER_JAR.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from google.protobuf import text_format
from tfx.types import standard_artifacts

from taskroute.components.artifact_types import Quarantine
from taskroute.components.log_example_gen.executor import Executor as LogExampleGen
from taskroute.components.transform.executor import Executor as Transform
from taskroute.pipeline.sample_log.sample_files import write_sample_log
from taskroute.pipeline.sample_log.sample_log import SampleLogSpec, make_sample_log
from taskroute.schemas.columns import raw_columns
from taskroute.schemas.log_schema import make_schema
from taskroute.schemas.recommender import DataConfig, load_config
from taskroute.schemas.source import Source, Split

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CONFIG = load_config("examples/demo.yaml")
DATA = CONFIG.part(DataConfig)


@contextmanager
def job_server(folder):
    """Beam's own; gives the options that use it."""
    port_file = folder / "port"
    module = "apache_beam.runners.portability.local_job_service_main"
    program = [sys.executable, "-m", module, "--port", "0", "--port_file", port_file]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(program, stdout=log, stderr=subprocess.STDOUT)
        try:
            for _ in range(300):
                if port_file.exists() and port_file.read_text().strip():
                    break
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            yield [
                "--runner=PortableRunner",
                f"--job_endpoint=localhost:{port_file.read_text().strip()}",
                "--environment_type=LOOPBACK",
            ]
        finally:
            server.kill()
            server.wait()


@contextmanager
def prism(folder):
    program = os.environ.get("PRISM")
    if not program:
        pytest.skip("PRISM names no Prism program of Beam's version")
    yield ["--runner=PrismRunner", f"--prism_location={program}", "--environment_type=LOOPBACK"]


@contextmanager
def flink(folder):
    """A cluster in one process, by Flink's job server."""
    jar = os.environ.get("FLINK_JOB_SERVER_JAR")
    if shutil.which("java") is None:
        pytest.skip("there is no Java to run Flink")
    if not jar:
        pytest.skip("FLINK_JOB_SERVER_JAR names no Flink job server of Beam's version")
    yield [
        "--runner=FlinkRunner",
        "--flink_master=[local]",
        f"--flink_job_server_jar={jar}",
        f"--artifacts_dir={folder}",
        "--environment_type=LOOPBACK",
        "--parallelism=2",
    ]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Log of two files, so that there is work for two workers."""
    folder = tmp_path_factory.mktemp("log")
    for seed in (1, 2):
        sample = make_sample_log(SampleLogSpec(num_rows=2_000, num_users=200, seed=seed))
        write_sample_log(sample, folder / f"{seed}.parquet", "parquet")
    return folder / "*.parquet"


def place(artifact, uri):
    artifact.uri = str(uri)
    Path(uri).mkdir(parents=True)
    return [artifact]


def ingest_and_transform(log, folder, beam_args):
    """All files that the two stages write, by name."""
    source = Source(path=str(log), format="parquet", split=Split(by="hash", key="user_id"))
    examples = place(standard_artifacts.Examples(), folder / "examples")
    # Without an image TFX packs itself up for every stage.
    beam_args = [*beam_args, "--sdk_container_image=local"]
    LogExampleGen(LogExampleGen.Context(beam_pipeline_args=beam_args)).Do(
        {},
        {"examples": examples, "quarantine": place(Quarantine(), folder / "quarantine")},
        {
            "source": source.model_dump_json(),
            "columns": json.dumps([asdict(column) for column in raw_columns(DATA)]),
            "tasks": json.dumps([task.model_dump(mode="json") for task in DATA.tasks]),
        },
    )
    schema = place(standard_artifacts.Schema(), folder / "schema")
    text = text_format.MessageToString(make_schema(DATA))
    (folder / "schema" / "schema.pbtxt").write_text(text)
    Transform(Transform.Context(beam_pipeline_args=beam_args)).Do(
        {"examples": examples, "schema": schema},
        {
            "transform_graph": place(standard_artifacts.TransformGraph(), folder / "graph"),
            "transformed_examples": place(standard_artifacts.Examples(), folder / "transformed"),
        },
        {
            "preprocessing_fn": "taskroute.models.preprocessing.preprocessing_fn",
            "data": DATA.model_dump_json(),
        },
    )
    kept = ("examples/*/*", "graph/analysis/*", "graph/transform_fn/assets/*", "transformed/*/*")
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for pattern in kept
        for file in folder.glob(pattern)
    }


@pytest.fixture(scope="module")
def expected(log, tmp_path_factory):
    return ingest_and_transform(log, tmp_path_factory.mktemp("direct"), ["--runner=FnApiRunner"])


@pytest.mark.parametrize("runner", [job_server, prism, flink])
def test_a_runner_writes_the_files_of_the_direct_one(runner, log, expected, tmp_path):
    (tmp_path / "runner").mkdir()
    with runner(tmp_path / "runner") as beam_args:
        written = ingest_and_transform(log, tmp_path / "written", beam_args)
    assert written.keys() == expected.keys()
    folders = [name.partition("/")[0] for name in written if name.endswith(".parquet")]
    assert Counter(folders) == {"examples": 6, "transformed": 6}
    assert [name for name, content in written.items() if content != expected[name]] == []
