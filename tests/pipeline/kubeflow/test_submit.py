"""Submission to a server on this machine that answers as KFP's API does."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from taskroute.pipeline.kubeflow.compiler import CompiledPipeline
from taskroute.pipeline.kubeflow.submit import submit
from taskroute.schemas.errors import ConfigError, UserError

TOKEN = "ey-secret-token"  # noqa: S105 - of a server in this file
COMPILED = CompiledPipeline(
    {
        "pipelineInfo": {"name": "shop"},
        "defaultPipelineRoot": "gs://bucket/runs",
        "schemaVersion": "2.1.0",
    },
    {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"e": {"pvcMount": [{}]}}}}}},
)


class Server(ThreadingHTTPServer):
    """Answers every POST with an id, or everything with `status` if that is set."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.posts = {}
        self.headers = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self._answer({"experiments": []})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = self.path.rsplit("/", 1)[-1]
        self.server.posts[kind] = body
        names = {"experiments": "experiment_id", "runs": "run_id"}
        self._answer({names.get(kind, "recurring_run_id"): f"{kind}-1"})

    def _answer(self, content):
        self.server.headers.append(self.headers)
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # where KFP's client keeps its settings
    made = Server()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_run_has_specs_root_and_account_and_the_token_is_only_sent(server, capfd, caplog):
    said = submit(COMPILED, server.url, token=TOKEN, service_account="trainer")
    run = server.posts["runs"]
    assert run["pipeline_spec"] == {
        "pipeline_spec": COMPILED.pipeline_spec,
        "platform_spec": COMPILED.platform_spec,
    }
    assert run["runtime_config"]["pipeline_root"] == "gs://bucket/runs"
    assert run["service_account"] == "trainer"
    assert run["experiment_id"] == "experiments-1"
    assert server.posts["experiments"]["display_name"] == "shop"
    assert "runs-1" in said
    assert all(headers["authorization"] == f"Bearer {TOKEN}" for headers in server.headers)
    captured = capfd.readouterr()
    assert TOKEN not in said + captured.out + captured.err + caplog.text


def test_a_schedule_lets_one_run_work_at_a_time_and_makes_up_for_none(server):
    said = submit(COMPILED, server.url, namespace="team", cron="0 0 3 * * *")
    schedule = server.posts["recurringruns"]
    assert schedule["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert schedule["max_concurrency"] == 1
    assert schedule["no_catchup"] is True
    assert server.posts["experiments"]["namespace"] == "team"
    assert "runs" not in server.posts
    assert "recurringruns-1" in said


@pytest.mark.parametrize(
    ("status", "mend"), [(401, "KFP_TOKEN"), (403, "role"), (404, "--host"), (500, "log")]
)
def test_what_the_server_refuses_is_said_in_one_sentence_without_the_token(server, status, mend):
    server.status = status
    with pytest.raises(UserError, match=f"answers {status}.*{mend}") as refused:
        submit(COMPILED, server.url, token=TOKEN)
    assert TOKEN not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_server_that_is_not_there_is_named(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match=r"cannot be reached.*--host"):
        submit(COMPILED, server.url, token=TOKEN)


def test_a_cron_of_five_fields_is_refused_before_anything_is_sent(server):
    with pytest.raises(ConfigError, match="six fields"):
        submit(COMPILED, server.url, cron="0 3 * * *")
    assert not server.headers
