"""`taskroute report` on what a run leaves, and on what is none."""

import json
import shutil
import subprocess
import sys

import pytest

from taskroute.pipeline.run.report import report, write_page
from taskroute.schemas.errors import ConfigError, UserError
from taskroute.schemas.run_record import RunRecord

RECORD = {
    "name": "feed",
    "started": "2026-11-22T06:40:27+00:00",
    "exit_code": 3,
    "error": "column 'age' <b>moved</b>",
    "failed_stage": "AnomalyGate",
    "stages": [{"name": "LogExampleGen", "seconds": 1.5, "cached": False, "rows": 90}],
    "rows": {"train": 80, "validation": 5, "test": 5},
    "spans": {},
    "bad_rows": {"rows": 2, "reasons": {"not_json": 2}, "folder": "gone"},
    "pushed_version": None,
    "config": {
        "name": "feed",
        "source": {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}},
        "features": [{"name": "device", "kind": "categorical", "hash_buckets": 10}],
        "tasks": [{"name": "click", "label": {"column": "clicked"}}],
    },
    "code_digest": "0123",
    "versions": {"Python": "3.11"},
    "artifacts": {"DayMonitor.changes": "artifacts/changes"},
}


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    (folder / "artifacts" / "changes").mkdir(parents=True)
    shift = {"signal": "split_shift", "name": "age", "since": "train", "now": "test"}
    shift |= {"before": None, "levels": {}, "change": 0.125, "low": 0.1, "high": 0.15}
    shift |= {"ordinary": 0.0, "threshold": 0.5, "alert": False}
    changes = {"now": None, "rows": {}, "every": 1, "served_version": None, "note": "none"}
    changes |= {"changes": [shift], "histograms": []}
    (folder / "artifacts" / "changes" / "changes.json").write_text(json.dumps(changes))
    (folder / "last_run.json").write_text(json.dumps(RECORD))
    return folder


def test_the_root_and_its_last_run_give_the_page_that_the_run_wrote(root):
    path = write_page(RunRecord.model_validate(RECORD), root)
    assert path == root / "reports" / "2026-11-22T06-40-27.html"
    first = path.read_bytes()
    for run in (root, root / "last_run.json"):
        path.unlink()
        assert report(run, None, None, 3) == path
        assert path.read_bytes() == first
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]


def test_the_page_of_a_stopped_run_says_where_and_why(root):
    html = write_page(RunRecord.model_validate(RECORD), root).read_text()
    assert "Stopped at AnomalyGate: nothing pushed" in html
    assert "&lt;b&gt;moved&lt;/b&gt;" in html
    assert "not_json" in html


def test_a_root_that_was_moved_keeps_its_artifacts(root, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(root, moved)
    assert "0.125" in report(moved, None, None, 3).read_text()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"started": "now", "config": {}}'])
def test_what_is_no_record_of_a_run_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "last_run.json").write_text(content)
    with pytest.raises(ConfigError, match=r"last_run\.json: is not the record of a run"):
        report(tmp_path, None, None, 3)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"last_run\.json: is not there; give a pipeline root"):
        report(tmp_path, None, None, 3)


def test_importance_needs_what_the_run_left(root):
    with pytest.raises(UserError, match=r"the run left no Trainer\.model"):
        report(root, None, 100, 3)


def test_a_page_that_cannot_be_written_is_said(root):
    (root / "reports").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="the report cannot be written: "):
        report(root, None, None, 3)


def test_the_command_imports_no_tensorflow(root):
    program = (
        "import sys; from taskroute.pipeline.cli.main import cli; "
        "cli(['report', sys.argv[1]], standalone_mode=False)"
    )
    check = "; assert not {'tensorflow', 'tfx', 'apache_beam'} & set(sys.modules)"
    code = f"import sys\ntry:\n    {program}\nexcept SystemExit:\n    pass\n{check[2:]}"
    ended = subprocess.run(
        [sys.executable, "-c", code, root], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip().endswith("reports/2026-11-22T06-40-27.html")
