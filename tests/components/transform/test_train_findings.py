"""Findings about the train split, from shards of raw and transformed rows."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskroute.components.transform import train_findings
from taskroute.components.transform.materialization import Shard
from taskroute.components.transform.train_findings import find_in_train
from taskroute.schemas.findings import Findings
from taskroute.schemas.recommender import DataConfig

DATA = DataConfig.model_validate(
    {
        "features": [
            {"name": "id", "kind": "categorical", "vocabulary": {"min_count": 5}},
            {"name": "x", "kind": "dense"},
            {"name": "copy", "kind": "dense"},
            {"name": "only_here", "kind": "dense"},
        ],
        "tasks": [{"name": "click", "label": {"column": "clicked"}}],
    }
)
ROWS = 6000


def lists(values):
    return pa.array([[value] for value in values])


def write_shard(folder, number, last):
    random = np.random.default_rng(number)
    clicked = (random.random(ROWS) < 0.3).astype(np.float32)
    x = random.normal(size=ROWS).astype(np.float32)
    # Defaults are in the last of the shard's rows only: the first ones do not show them.
    x[-ROWS // 20 :] = 1e10
    shard = Shard(str(folder / f"raw{number}"), str(folder / f"transformed{number}"))
    raw = {"id": lists([b"%d" % random.integers(10**9) for _ in range(ROWS)]), "x": lists(x)}
    raw |= {"copy": lists(clicked), "clicked": lists(clicked)}
    if last:
        raw["only_here"] = lists(x)
    pq.write_table(pa.table(raw), shard.source)
    flags = {f"{name}_missing": np.zeros(ROWS, np.float32) for name in ("x", "copy", "only_here")}
    numbers = {"x": x, "copy": clicked, "only_here": random.normal(size=ROWS).astype(np.float32)}
    ids = {"id": np.full(ROWS, 2), "label/click": clicked}
    pq.write_table(pa.table({**ids, **numbers, **flags}), shard.target)
    return shard


@pytest.mark.parametrize("most_shards", [1, 8])
def test_each_kind_is_found_in_rows_from_all_over_the_split(tmp_path, monkeypatch, most_shards):
    monkeypatch.setattr(train_findings, "_MOST_SHARDS", most_shards)
    (tmp_path / "vocabulary_id").write_text("a\n")
    shards = [write_shard(tmp_path, number, number == 2) for number in range(3)]
    found = find_in_train(shards, DATA, str(tmp_path)).findings
    assert [(one.kind, one.subject) for one in found if one.subject != "only_here"] == [
        ("leak", "copy"),
        ("dead_feature", "x"),
        ("dead_feature", "id"),
    ]
    sentences = {one.subject: one.sentence for one in found}
    assert "alone decides task 'click' (AUC 1.000" in sentences["copy"]
    assert "is 1e+10 in 5.0% of the rows" in sentences["x"]
    assert "all of the train rows are outside its vocabulary" in sentences["id"]


def test_a_split_without_rows_has_no_findings(tmp_path):
    assert find_in_train([], DATA, str(tmp_path)) == Findings()
