"""Tables in `taskroute check`, without a command line."""

import json

import pytest

from taskroute.pipeline.inspection.check import check_log
from taskroute.pipeline.inspection.check_tables import print_check
from taskroute.pipeline.inspection.table_sizes import suggested_width
from taskroute.schemas.recommender import RecommenderConfig

SOURCE = {"path": "log.jsonl", "format": "jsonl", "split": {"by": "hash", "key": "item"}}
ITEM = {"name": "item", "kind": "categorical", "embedding_dim": 10_000}
MEGABYTES_OF_A_ROW = 10_000 * 8 / 1e6


def printed(tmp_path, capsys, *features, tables=()):
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
            "tables": tables,
            "tasks": [{"name": "click", "label": {"column": "clicked"}}],
        }
    )
    print_check(config, check_log(config, tmp_path))
    return capsys.readouterr().out.splitlines()


def cells(lines, name):
    """Line of a feature: its source, and its embeddings."""
    return [line.split() for line in lines if line.startswith(name)]


@pytest.mark.parametrize(
    ("ids", "num_ids"),
    [
        # The missing value, the terms of both columns, one OOV bucket.
        ({"vocabulary": {}}, 1 + 12 + 1),
        ({"vocabulary": {"max_size": 7}}, 1 + 7 + 1),
        ({"hash_buckets": 4}, 1 + 4),
    ],
)
def test_rows_that_are_shared_are_counted_once(tmp_path, capsys, ids, num_ids):
    history = {"name": "history", "kind": "sequence", "shares": "item"}
    lines = printed(tmp_path, capsys, {**ITEM, **ids}, history)
    size = num_ids * MEGABYTES_OF_A_ROW
    source, rows = cells(lines, "item")
    assert source == ["item", "categorical", "item", "0.0%"]
    # 12 terms: 2 * 12 ** 0.25 is 3.7.
    assert rows == ["item", "12", str(num_ids), "10000", "4", f"{size:.2f}"]
    assert cells(lines, "history")[1] == ["history", "12", "of", "item"]
    assert any(line.startswith(f"tables and their optimizer: {size:.1f} MB") for line in lines)


def test_a_table_has_the_terms_of_its_features_and_half_their_width_for_two_rows_of_each(
    tmp_path, capsys
):
    features = (
        {"name": "item", "kind": "categorical", "table": "ids", "vocabulary": {}},
        {"name": "history", "kind": "sequence", "shares": "item"},
        {"name": "past", "column": "history", "kind": "sequence", "table": "ids"},
    )
    tables = [{"name": "ids", "rows": 5, "embedding_dim": 20_000, "num_hashes": 2}]
    lines = printed(tmp_path, capsys, *features, tables=tables)
    assert cells(lines, "item")[1] == ["item", "12", "of", "table", "ids"]
    assert cells(lines, "past")[1] == ["past", "12", "of", "table", "ids"]
    size = 5 * MEGABYTES_OF_A_ROW
    assert cells(lines, "table ids") == [["table", "ids", "24", "5", "20000", "8", f"{size:.2f}"]]
    assert any(line.startswith(f"tables and their optimizer: {size:.1f} MB") for line in lines)


@pytest.mark.parametrize("ids", [{"hash_buckets": 4}, {"table": "ids"}])
def test_what_is_said_fits_80_columns(tmp_path, capsys, monkeypatch, ids):
    monkeypatch.setenv("COLUMNS", "80")
    name = "a_feature_with_a_long_name"
    feature = {"name": name, "column": "item", "kind": "categorical", **ids}
    tables = [{"name": "ids", "rows": 10**7}] if "table" in ids else []
    lines = printed(tmp_path, capsys, feature, tables=tables)
    assert len(cells(lines, name)) == 2
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("terms", "width"),
    [(0, 4), (16, 4), (17, 8), (256, 8), (10_000, 32), (10**6, 64), (10**9, 128)],
)
def test_the_suggested_width_is_a_power_of_two_from_twice_the_fourth_root(terms, width):
    assert suggested_width(terms) == width
