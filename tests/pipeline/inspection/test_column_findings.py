"""Findings of `taskroute check` about columns."""

import json

import pytest

from taskroute.pipeline.inspection.check import check_log
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import RecommenderConfig

ITEM = {"name": "item", "kind": "categorical", "hash_buckets": 9}


def findings(tmp_path, *features, files=1, **first):
    """Findings by kind and subject; the rows of the first file have other keys."""
    for number in range(files):
        rows = [
            {"item": f"i{row}", "price": None, "n (€)": row, "clicked": row % 2} for row in range(6)
        ]
        if number == 0:
            rows = [{key: row[key] for key in row if key not in first} for row in rows]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"log{number}.jsonl").write_text(text)
    config = RecommenderConfig.model_validate(
        {
            "name": "shop",
            "source": {
                "path": "log*.jsonl",
                "format": "jsonl",
                "split": {"by": "hash", "key": "item"},
            },
            "features": [ITEM, *features],
            "tasks": [{"name": "click", "label": {"column": "clicked"}}],
        }
    )
    sample = check_log(config, tmp_path)
    return {
        (each.kind, each.subject): each.sentence
        for each in sample.findings
        if each.kind in ("names", "missing_column")
    }


def test_a_column_without_a_value_is_told(tmp_path):
    found = findings(tmp_path, {"name": "price", "kind": "dense"})
    assert "no value in any row" in found["missing_column", "price"]


def test_a_required_column_without_a_value_is_refused(tmp_path):
    with pytest.raises(DataError, match="column 'price' has no value in any row"):
        findings(tmp_path, {"name": "price", "kind": "dense", "required": True})


def test_a_column_that_a_file_lacks_is_told_with_its_rows(tmp_path):
    feature = {"name": "n", "column": "n (€)", "kind": "dense"}
    found = findings(tmp_path, feature, files=3, **{"n (€)": None})
    sentence = found["missing_column", "n (€)"]
    assert "which 1 of 3 files lack" in sentence
    assert "missing in their 6 of 18 rows" in sentence


def test_another_input_name_is_told(tmp_path):
    found = findings(tmp_path, {"name": "self", "column": "n (€)", "kind": "dense"})
    assert "takes it as 'n'" in found["names", "n (€)"]
    assert "takes it as 'self_'" in found["names", "self"]


def test_plain_columns_tell_nothing(tmp_path):
    assert findings(tmp_path) == {}
