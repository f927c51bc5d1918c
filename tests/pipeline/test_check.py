"""What `taskroute check` says of tables, without a command line."""

import json

import pytest

from taskroute.pipeline.check import check_log, print_check
from taskroute.schemas.recommender import RecommenderConfig

SOURCE = {"path": "log.jsonl", "format": "jsonl", "split": {"by": "hash", "key": "item"}}
ITEM = {"name": "item", "kind": "categorical", "embedding_dim": 10_000}
MEGABYTES_OF_A_ROW = 10_000 * 8 / 1e6


def printed(tmp_path, capsys, *features):
    rows = [
        {"item": f"i{number}", "history": [f"i{number}", f"h{number}"], "clicked": number % 2}
        for number in range(6)
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = RecommenderConfig.model_validate(
        {
            "name": "shop",
            "source": SOURCE,
            "features": features,
            "tasks": [{"name": "click", "label": {"column": "clicked"}}],
        }
    )
    print_check(config, check_log(config, tmp_path))
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("ids", "num_ids"),
    [
        # The missing value, the terms of both columns, one OOV bucket.
        ({"vocabulary": {}}, 1 + 12 + 1),
        ({"vocabulary": {"max_size": 7}}, 1 + 7 + 1),
        ({"hash_buckets": 4}, 1 + 4),
    ],
)
def test_a_table_that_is_shared_is_counted_once(tmp_path, capsys, ids, num_ids):
    history = {"name": "history", "kind": "sequence", "shares": "item"}
    lines = printed(tmp_path, capsys, {**ITEM, **ids}, history)
    (item,) = (line.split() for line in lines if line.startswith("item"))
    (shared,) = (line.split() for line in lines if line.startswith("history"))
    size = num_ids * MEGABYTES_OF_A_ROW
    assert item == ["item", "categorical", "item", "0.0%", "6", f"{size:.2f}"]
    assert shared == ["history", "sequence", "history", "0.0%", "12"]
    assert any(line.startswith(f"tables and their optimizer: {size:.1f} MB") for line in lines)
