"""`taskroute monitor` on what a run has counted; a whole run is in tests/e2e/test_retrain.py."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from taskroute.components.logs.log_batch import LogBatch, RowCheck
from taskroute.components.measures.day_records import write_tables
from taskroute.components.measures.rows import row_hashes
from taskroute.components.measures.tables import ColumnPlan, count_columns, groups_of
from taskroute.pipeline.run.monitor import monitor
from taskroute.schemas.change_record import DayChanges, Histogram
from taskroute.schemas.columns import feature_columns
from taskroute.schemas.errors import ConfigError, DataError
from taskroute.schemas.recommender import RecommenderConfig

CONFIG = {
    "name": "feed",
    "source": {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}},
    "features": [
        {"name": "device", "kind": "categorical", "hash_buckets": 10},
        {"name": "age", "kind": "dense"},
    ],
    "tasks": [{"name": "click", "label": {"column": "clicked"}}],
}
HISTOGRAMS = (
    Histogram(column="age", boundaries=(20.0, 40.0)),
    Histogram(column="device", terms=("phone", "tv")),
)


def draw(seed, tv=0.3, missing=0.1, num_rows=5000):
    random = np.random.default_rng(seed)
    age = pa.array(
        np.round(random.normal(30, 12, num_rows)), mask=random.random(num_rows) < missing
    )
    device = np.where(random.random(num_rows) < tv, "tv", "phone")
    return pa.table({"device": device, "extra": np.arange(num_rows), "age": age})


@pytest.fixture
def root(tmp_path):
    """A root with a run of a log of two days."""
    folder = tmp_path / "root" / "artifacts" / "changes"
    folder.mkdir(parents=True)
    columns = feature_columns(RecommenderConfig.model_validate(CONFIG))
    plan, tables = ColumnPlan(histograms=HISTOGRAMS), {}
    for number, span in enumerate(("2026-01-01", "2026-01-02")):
        (values,) = draw(number).combine_chunks().to_batches()
        batch = RowCheck(LogBatch(span, np.arange(1, 5001), values)).convert(columns)
        groups = groups_of(plan, batch, row_hashes(number, 0, batch.num_rows))
        tables[span] = count_columns(plan, batch, groups)
    write_tables(folder, tables)
    rows = dict.fromkeys(tables, 5000)
    found = {"now": "2026-01-02", "rows": rows, "every": 1, "served_version": None, "note": ""}
    DayChanges(**found, changes=(), histograms=HISTOGRAMS).write(folder)
    record = {"name": "feed", "started": "2026-01-03T03:00:00+00:00"}
    record["artifacts"] = {"DayMonitor.changes": "artifacts/changes"}
    (tmp_path / "root" / "last_run.json").write_text(json.dumps(record))
    return tmp_path / "root"


def compare(root, table, changes=None):
    path = root.parent / "serving.csv"
    pa.csv.write_csv(table, path)
    config = RecommenderConfig.model_validate(CONFIG | (changes or {}))
    judged = monitor(config, root, str(path))
    return {(one.signal, one.name) for one in judged if one.alert}


def test_a_serving_log_of_the_same_is_quiet(root, capsys):
    assert compare(root, draw(9)) == set()
    told = json.loads((root / "serving_alerts.json").read_text())
    assert told["alerts"] == []
    assert told["run"] == "2026-01-03T03:00:00+00:00"
    assert {change["signal"] for change in told["changes"]} == {"skew", "missing"}
    assert told["judged"] == 4
    assert "5,000 rows" in capsys.readouterr().out


def test_values_and_missing_ones_are_told_apart(root, capsys):
    assert compare(root, draw(9, tv=0.6)) == {("skew", "device")}
    assert compare(root, draw(9, missing=0.4)) == {("missing", "age")}
    (alert,) = json.loads((root / "serving_alerts.json").read_text())["alerts"]
    assert alert["sentence"] in capsys.readouterr().out.replace("\n", " ")
    assert alert["since"] == "2026-01-01 to 2026-01-02"
    assert alert["now"].endswith("serving.csv")


def test_a_term_that_looks_like_markup_is_printed_as_it_is(root, capsys):
    table = draw(9, tv=0.6)
    marked = pa.array(["[/b]" if one == "tv" else one for one in table["device"].to_pylist()])
    changes = DayChanges.read(root / "artifacts" / "changes")
    histograms = (HISTOGRAMS[0], Histogram(column="device", terms=("phone", "[/b]")))
    changes.model_copy(update={"histograms": histograms}).write(root / "artifacts" / "changes")
    assert compare(root, table.set_column(0, "device", marked)) == {("skew", "device")}
    assert "'[/b]'" in capsys.readouterr().out


def test_thresholds_are_those_of_the_config(root):
    assert compare(root, draw(9, tv=0.6), {"monitoring": {"skew": None}}) == set()
    own = {"monitoring": {"columns": {"device": {"skew": 0.5}}}}
    assert compare(root, draw(9, tv=0.6), own) == set()


def test_a_limit_that_stops_ends_the_command_when_all_is_written(root):
    own = {"monitoring": {"columns": {"device": {"skew": {"threshold": 0.02, "stop": True}}}}}
    assert compare(root, draw(9), own) == set()
    with pytest.raises(DataError) as error:
        compare(root, draw(9, tv=0.6), own)
    assert "training-serving skew of column 'device'" in str(error.value)
    assert "raise `monitoring.columns.device.skew`" in str(error.value)
    (alert,) = json.loads((root / "serving_alerts.json").read_text())["alerts"]
    assert (alert["signal"], alert["stop"]) == ("skew", True)


def test_rows_that_cannot_be_used_are_bounded_as_in_the_source(root):
    table = draw(9)
    age = table["age"].cast(pa.string()).to_pylist()
    broken = table.set_column(2, "age", pa.array(["old", *age[1:]]))
    with pytest.raises(DataError, match="'old' is not a number"):
        compare(root, broken)
    source = {**CONFIG["source"], "max_bad_fraction": 0.01}
    assert compare(root, broken, {"source": source}) == set()


def test_a_log_that_lacks_a_feature_or_has_no_row_is_refused(root):
    with pytest.raises(DataError, match="there is no column 'age'"):
        compare(root, draw(9).drop_columns(["age"]))
    with pytest.raises(DataError, match="no row that can be used"):
        compare(root, draw(9).slice(0, 0))


def test_a_feature_that_the_last_run_did_not_read_is_named(root):
    features = [*CONFIG["features"], {"name": "price", "kind": "dense"}]
    with pytest.raises(ConfigError, match="did not read the column 'price'"):
        compare(root, draw(9), {"features": features})


def test_a_column_that_the_last_run_read_as_another_kind_is_named(root):
    features = [CONFIG["features"][0], {"name": "age", "kind": "categorical", "hash_buckets": 9}]
    with pytest.raises(ConfigError, match="did not read the column 'age' as this config does"):
        compare(root, draw(9), {"features": features})


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04 cut short"])
def test_counts_that_cannot_be_read_are_refused_in_a_sentence(root, content):
    (root / "artifacts" / "changes" / "tables.npz").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read; run the pipeline again"):
        compare(root, draw(9))


@pytest.mark.parametrize("content", [None, "[]", "{}", '{"started": "now", "artifacts": {}}'])
def test_a_root_without_a_run_is_refused_in_a_sentence(root, content):
    (root / "last_run.json").unlink()
    if content is not None:
        (root / "last_run.json").write_text(content)
    with pytest.raises(ConfigError, match="call `taskroute run` first"):
        compare(root, draw(9))


def test_the_command_imports_no_tensorflow(root):
    (root.parent / "feed.yaml").write_text(json.dumps(CONFIG))
    pa.csv.write_csv(draw(9), root.parent / "serving.csv")
    arguments = ["monitor", str(root.parent / "feed.yaml"), "--root", str(root)]
    arguments += ["--serving-log", str(root.parent / "serving.csv")]
    program = (
        "import sys\nfrom taskroute.pipeline.cli.main import cli\n"
        "try:\n    cli(sys.argv[1:], standalone_mode=False)\n"
        "except SystemExit as end:\n    assert not end.code, end\n"
        "assert not {'tensorflow', 'tfx', 'apache_beam'} & set(sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "0 alerts, 4 changes judged" in ended.stdout
