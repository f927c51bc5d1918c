"""A trial's key changes with the log, how it is read, and the code that decides its result."""

from pathlib import Path

import pytest

from taskroute.pipeline.dag import digest
from taskroute.pipeline.dag.pipeline import create_pipeline
from taskroute.pipeline.experiments.keys import digests_of
from taskroute.pipeline.experiments.session import stages_digest
from taskroute.pipeline.run.paths import RunPaths, absolute_source
from taskroute.schemas.recommender import load_config

ROOT = Path(__file__).parents[3]
COMMANDS = ("compare", "tune")


def test_digests_change_with_the_log_and_how_it_is_read():
    one = digests_of("log", "source", "stages", "tune")
    assert one == digests_of("log", "source", "stages", "tune")
    other_log = digests_of("another", "source", "stages", "tune")
    other_source = digests_of("log", "another", "stages", "tune")
    assert len({one["data"], other_log["data"], other_source["data"]}) == 3
    assert one["code"] == other_log["code"]


def test_the_digest_of_the_code_is_of_the_stages_and_the_command_too():
    codes = {digests_of("", "", stages, name)["code"] for stages in "ab" for name in COMMANDS}
    assert len(codes) == 4


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    """Makes the digests of the code of both commands."""
    folder = tmp_path_factory.mktemp("root")
    config = load_config(ROOT / "examples/demo.yaml")
    source = absolute_source(config, folder)

    def make():
        paths = RunPaths(folder, config.name)
        stages = stages_digest(create_pipeline(config, source, "", paths, last="Transform"))
        return [digests_of("", "", stages, name)["code"] for name in COMMANDS]

    return make


@pytest.fixture
def edited(monkeypatch):
    """Makes the digest of a file another, as an edit would."""
    content = digest._file_digest

    def edit(file):
        assert (ROOT / file).exists()
        monkeypatch.setattr(
            digest, "_file_digest", lambda path: b"" if path == ROOT / file else content(path)
        )

    return edit


@pytest.mark.parametrize(
    "file",
    [
        "models/ranker.py",
        "models/training.py",
        "models/layers/gates.py",
        "models/calibration.py",
        "models/export.py",
        "models/preprocessing.py",
        "components/measures/binary.py",
        "components/logs/csv_log.py",
        "components/log_example_gen/executor.py",
        "components/transform/executor.py",
        "pipeline/experiments/worker.py",
        "pipeline/experiments/held_out.py",
    ],
)
def test_a_key_changes_with_code_that_decides_a_result(codes, edited, file):
    before = codes()
    edited(file)
    assert not set(before) & set(codes())


@pytest.mark.parametrize(
    "file",
    [
        "pipeline/cli/main.py",
        "pipeline/run/run.py",
        "pipeline/experiments/session.py",
        "pipeline/experiments/bench.py",
        "pipeline/experiments/compare/tables.py",
        "pipeline/experiments/tune/search.py",
        "pipeline/dag/digest.py",
        "components/report/page.py",
        "components/model_pusher/executor.py",
        "models/search.py",
        "models/trainer.py",
    ],
)
def test_a_key_does_not_change_with_other_code(codes, edited, file):
    before = codes()
    edited(file)
    assert codes() == before
