"""The metadata store: a file by default, or a server that a run really uses."""

import shutil
import socket
import subprocess
import time

import pytest
from ml_metadata.proto import metadata_store_pb2
from pydantic import ValidationError
from tfx.orchestration.pipeline import Pipeline

from taskroute.components.log_schema_gen.component import LogSchemaGen
from taskroute.pipeline.dag.local_runner import run_stages
from taskroute.pipeline.dag.metadata import connection
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.metadata import MysqlMetadata, SqliteMetadata
from taskroute.schemas.recommender import DataConfig
from taskroute.schemas.runtime import Runtime

PASSWORD = "of-the-metadata"  # noqa: S105 - of a server that a test starts
MYSQL = {
    "kind": "mysql",
    "host": "127.0.0.1",
    "database": "records",
    "user": "taskroute",
    "password_env": "METADATA_PASSWORD",
}
DATA = DataConfig(
    features=[{"name": "age", "kind": "dense"}],
    tasks=[{"name": "click", "label": {"column": "clicked"}}],
)


def test_the_default_is_a_file_under_the_root(tmp_path):
    file = tmp_path / "root" / "metadata.sqlite"
    opened = connection(Runtime().metadata, file)
    assert opened.sqlite.filename_uri == str(file)
    assert file.parent.is_dir()


def test_the_password_comes_from_the_environment(monkeypatch, tmp_path):
    settings = Runtime(metadata=MYSQL).metadata
    assert isinstance(settings, MysqlMetadata)
    monkeypatch.setenv("METADATA_PASSWORD", PASSWORD)
    assert connection(settings, tmp_path) == metadata_store_pb2.ConnectionConfig(
        mysql=metadata_store_pb2.MySQLDatabaseConfig(
            host="127.0.0.1", port=3306, database="records", user="taskroute", password=PASSWORD
        )
    )


def test_a_password_that_is_not_set_is_named_by_its_variable(monkeypatch, tmp_path):
    monkeypatch.delenv("METADATA_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match="METADATA_PASSWORD is not set"):
        connection(Runtime(metadata=MYSQL).metadata, tmp_path)


def test_a_password_in_the_config_is_refused():
    with pytest.raises(ValidationError, match="password"):
        Runtime(metadata=MYSQL | {"password": PASSWORD})


@pytest.fixture
def server(tmp_path):
    """Port of a MySQL or MariaDB server of its own."""
    install, daemon, client = (
        shutil.which(name) for name in ("mariadb-install-db", "mariadbd", "mariadb")
    )
    if not (install and daemon and client):
        pytest.skip("there is no MariaDB server here (Debian: apt-get install mariadb-server)")
    data, unix_socket = tmp_path / "data", tmp_path / "socket"
    owner = ["--no-defaults", f"--datadir={data}", "--user=root"]
    subprocess.run(
        [install, *owner, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True,
        capture_output=True,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = [f"--socket={unix_socket}", f"--port={port}", "--bind-address=127.0.0.1"]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen([daemon, *owner, *address], stdout=log, stderr=log)
    ask = [client, "--no-defaults", "--user=root", f"--socket={unix_socket}"]
    statements = (
        "CREATE DATABASE records;"
        f"CREATE USER taskroute@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';"
        "GRANT ALL ON records.* TO taskroute@'127.0.0.1';"
    )
    for _ in range(300):
        if unix_socket.exists():
            break
        time.sleep(0.1)
    subprocess.run([*ask, "--execute", statements], check=True, capture_output=True)
    yield port
    process.terminate()
    process.wait(timeout=60)


@pytest.mark.parametrize("kind", ["sqlite", "mysql"])
def test_a_run_finds_the_stages_of_the_one_before(kind, request, monkeypatch, tmp_path, capfd):
    settings = SqliteMetadata()
    if kind == "mysql":
        monkeypatch.setenv("METADATA_PASSWORD", PASSWORD)
        settings = MysqlMetadata(**MYSQL, port=request.getfixturevalue("server"))

    def run():
        pipeline = Pipeline(
            pipeline_name="shop",
            pipeline_root=str(tmp_path / "artifacts"),
            metadata_connection_config=connection(settings, tmp_path / "metadata.sqlite"),
            components=[LogSchemaGen(data=DATA.model_dump_json())],
            enable_cache=True,
        )
        return run_stages(pipeline, lambda name: None, lambda stage: None)["LogSchemaGen"]

    first, second = run(), run()
    assert (first.cached, second.cached) == (False, True)
    assert first.outputs["schema"][0].uri == second.outputs["schema"][0].uri
    assert (tmp_path / "metadata.sqlite").exists() == (kind == "sqlite")
    captured = capfd.readouterr()
    assert PASSWORD not in captured.out + captured.err
