"""Ids that are written in two ways are told by `taskroute check`."""

import json

import pytest
import yaml
from click.testing import CliRunner

from taskroute.pipeline.cli.main import cli

CONFIG = {
    "name": "shop",
    "source": {"split": {"by": "hash", "key": "key", "validation": 0.2, "test": 0.2}},
    "features": [
        {"name": "user", "kind": "categorical", "hash_buckets": 100},
        {"name": "genres", "kind": "multivalent", "separator": "|", "hash_buckets": 100},
    ],
    "tasks": [{"name": "click", "label": {"column": "clicked"}}],
}


def _check(folder, users, genres="a|b", log_format="csv"):
    rows = [
        {"key": row, "user": users[row % len(users)], "genres": genres, "clicked": row % 2}
        for row in range(60)
    ]
    if log_format == "csv":
        lines = ["key,user,genres,clicked", *(",".join(map(str, row.values())) for row in rows)]
    else:
        lines = [json.dumps(row) for row in rows]
    (folder / f"log.{log_format}").write_text("\n".join(lines) + "\n")
    source = {**CONFIG["source"], "path": f"log.{log_format}", "format": log_format}
    (folder / "shop.yaml").write_text(yaml.safe_dump({**CONFIG, "source": source}))
    result = CliRunner().invoke(cli, ["check", str(folder / "shop.yaml")])
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


@pytest.mark.parametrize("log_format", ["csv", "jsonl"])
def test_a_whole_float_beside_its_integer_is_told(tmp_path, log_format):
    output = _check(
        tmp_path, ["17", "17.0", "18.00", "18", "19", "19.0", "x"], log_format=log_format
    )
    assert (
        "column 'user': '17' and '17.0' are two terms (and 2 more such pairs); if they are "
        "one id, write it without .0 in the log and in requests" in output
    )


def test_terms_of_a_list_are_told_as_well(tmp_path):
    assert "column 'genres': '5' and '5.0' are two terms;" in _check(tmp_path, ["u"], "5|5.0")


@pytest.mark.parametrize("users", [["17.0", "18.0"], ["17", "18"], ["1.0", "10", "v1", "1.01"]])
def test_ids_of_one_form_are_no_finding(tmp_path, users):
    assert "two terms" not in _check(tmp_path, users)


def test_numbers_of_json_are_one_term(tmp_path):
    assert "two terms" not in _check(tmp_path, [17, 17.0], log_format="jsonl")
