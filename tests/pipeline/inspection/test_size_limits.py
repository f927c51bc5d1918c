"""Sizes that `taskroute check` refuses: what this machine cannot hold, and slices without end."""

import json

import numpy as np
import pytest

from taskroute.pipeline.inspection import size_limits
from taskroute.pipeline.inspection.check import check_log
from taskroute.pipeline.inspection.size_limits import memory_bytes
from taskroute.schemas.errors import ConfigError, DataError
from taskroute.schemas.recommender import RecommenderConfig

ROWS = 4_000
ITEM = {"name": "item", "kind": "categorical", "vocabulary": {}}
AGE = {"name": "age", "kind": "dense"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    random = np.random.default_rng(0)
    rows = [
        {
            "key": f"k{row}",
            "item": f"i{row % 50}",
            "history": [f"i{row % 50}"] * 20,
            "age": row % 60,
            "many": row % 1_500,
            "some": row % 700,
            "few": row % 400,
            "clicked": int(random.integers(0, 2)),
        }
        for row in range(ROWS)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def check(folder):
    def checked(*features, **others):
        split = {"by": "hash", "key": "key", "test": 0.5, "validation": 0.1}
        fields = {
            "name": "shop",
            "source": {"path": "log.jsonl", "format": "jsonl", "split": split},
            "features": features or (ITEM,),
            "tasks": [{"name": "click", "label": {"column": "clicked"}}],
        }
        return check_log(RecommenderConfig.model_validate(fields | others), folder)

    return checked


BIG = 10**12


@pytest.mark.parametrize(
    ("fields", "field", "asked"),
    [
        (
            {"features": [{**AGE}, {"name": "item", "kind": "categorical", "hash_buckets": BIG}]},
            "features[1].hash_buckets",
            "128.0 TB",  # 1e12 rows of 16 weights, each with its accumulator
        ),
        ({"features": [{**ITEM, "embedding_dim": 10**9}]}, "features[0].embedding_dim", "416.0 GB"),
        (
            {
                "features": [{"name": "item", "kind": "categorical", "table": "ids"}],
                "tables": [{"name": "ids", "rows": 2**31, "embedding_dim": 2_000}],
            },
            "tables[0].rows",
            "17.2 TB",
        ),
        (
            {"features": [{"name": "age", "kind": "bucket", "num_quantiles": BIG}]},
            "features[0].num_quantiles",
            "32.0 TB",
        ),
        ({"training": {"batch_size": 10**11}}, "training.batch_size", "12.8 TB"),
        ({"towers": {"units": [10**6, 10**6]}}, "towers.units", "16.0 TB"),
        ({"trunk": {"kind": "shared_bottom", "units": [10**7, 10**6]}}, "trunk.units", "160.0 TB"),
        (
            {"trunk": {"kind": "mmoe", "layers": [{"experts": 8, "units": [10**7, 10**6]}]}},
            "trunk.layers[0].units",
            "1.3 PB",
        ),
    ],
)
def test_what_this_machine_cannot_hold_is_refused_with_the_bytes(check, fields, field, asked):
    features = fields.pop("features", (ITEM,))
    with pytest.raises(ConfigError) as error:
        check(*features, **fields)
    assert str(error.value).startswith(f"{field}: ")
    assert asked in str(error.value)
    assert "of memory; give a smaller number" in str(error.value)


def test_a_batch_of_long_lists_is_refused_by_the_lists_of_the_log(check, monkeypatch):
    monkeypatch.setattr(size_limits, "memory_bytes", lambda: 20 * 10**9)
    history = {"name": "history", "kind": "sequence", "shares": "item", "max_length": 10**6}
    # 20 terms a row, 16 floats a term, and their gradients.
    with pytest.raises(ConfigError, match=r"features\[1\]\.max_length: lists of 20 terms"):
        check(ITEM, history, training={"batch_size": 10**7})
    assert not check(ITEM, history).findings


def test_what_nearly_fills_the_memory_is_told(check, monkeypatch):
    monkeypatch.setattr(size_limits, "memory_bytes", lambda: 10**10)
    buckets = {"name": "item", "kind": "categorical", "hash_buckets": 60_000_000}
    (finding,) = [each for each in check(buckets).findings if each.kind == "sizes"]
    assert finding.subject == "features[0].hash_buckets"
    assert "7.7 GB" in finding.sentence
    with pytest.raises(ConfigError, match=r"this machine has 10\.0 GB"):
        check({**buckets, "hash_buckets": 90_000_000})


def test_usual_sizes_are_not_spoken_of(check):
    assert not check(ITEM, AGE).findings


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    whole = memory_bytes()
    (tmp_path / "memory.max").write_text("1000000\n")
    monkeypatch.setattr(size_limits, "_LIMITS", (tmp_path / "memory.max",))
    assert memory_bytes() == 1_000_000 < whole
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_bytes() >= whole


@pytest.mark.parametrize(
    ("column", "ending"), [("few", None), ("some", "told"), ("many", "refused")]
)
def test_slices_without_end_are_told_before_a_run(check, column, ending):
    features = (ITEM, {"name": column, "kind": "categorical", "vocabulary": {}})
    evaluation = {"slices": [column]}
    if ending == "refused":
        with pytest.raises(DataError, match=r"column 'many' has 1,\d{3} values"):
            check(*features, evaluation=evaluation)
        return
    found = check(*features, evaluation=evaluation).findings
    assert [each.kind for each in found if each.kind == "sizes"] == ["sizes"] * (ending == "told")


def test_a_test_split_that_holds_fewer_values_is_not_refused(check):
    split = {"by": "hash", "key": "key", "test": 0.1, "validation": 0.1}
    source = {"path": "log.jsonl", "format": "jsonl", "split": split}
    features = (ITEM, {"name": "many", "kind": "categorical", "vocabulary": {}})
    sample = check(*features, evaluation={"slices": ["many"]}, source=source)
    assert any("1,500 values" in each.sentence for each in sample.findings)
