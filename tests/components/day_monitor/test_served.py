"""Served versions whose predictions are judged on the newest span."""

import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from taskroute.components.day_monitor.served import read_served
from taskroute.components.logs.hashes import hash_texts
from taskroute.components.served import registry
from taskroute.schemas.features import Feature
from taskroute.schemas.serving import ModelInfo, Serving

FEATURES = TypeAdapter(tuple[Feature, ...]).validate_python(
    [
        {"name": "user", "kind": "categorical", "hash_buckets": 10},
        {"name": "item", "column": "item_id", "kind": "categorical", "vocabulary": {}},
        {"name": "seen", "kind": "sequence", "shares": "item"},
        {"name": "gone", "kind": "categorical", "vocabulary": {}},
        {"name": "price", "kind": "dense"},
    ]
)


def push(folder, data_span):
    """A version that was trained on these spans, and knows two items."""
    source = folder / "trained"
    for name in ("assets", "assets.extra"):
        (source / name).mkdir(parents=True)
    (source / "saved_model.pb").touch()
    (source / "assets" / "vocabulary_item").write_text("i1\ni2\n")
    info = ModelInfo(
        name="shop",
        config_digest="0",
        data_span=data_span,
        num_rows={},
        binary_tasks=("click",),
        regression_tasks=(),
        serving=Serving(),
    )
    (source / "assets.extra" / "model_info.json").write_text(info.model_dump_json())
    registry.push(source, folder / "serving", "shop")
    return str(folder / "serving")


def test_a_model_of_earlier_spans_says_which_terms_it_knows(tmp_path):
    serving = push(tmp_path, ("2026-01-01", "2026-01-07"))
    served, note = read_served(serving, FEATURES, "2026-01-08")
    assert note == ""
    assert (served.version, served.folder) == (1, f"{serving}/1")
    known = sorted(hash_texts(pa.array(["i1", "i2"])).tolist())
    found = {column: hashes.tolist() for column, hashes in served.vocabularies.items()}
    assert found == {"item_id": known, "seen": known}


@pytest.mark.parametrize(
    ("data_span", "newest"),
    [
        (("2026-01-02", "2026-01-08"), "2026-01-08"),
        (("2026-01-02", "2026-01-09"), "2026-01-08"),
        (("8", "10"), "10"),
        (None, "2026-01-08"),
    ],
)
def test_a_model_that_has_or_may_have_seen_the_newest_span_says_nothing(
    tmp_path, data_span, newest
):
    served, note = read_served(push(tmp_path, data_span), FEATURES, newest)
    assert served is None
    assert "version 1" in note


def test_numbered_spans_are_compared_as_numbers(tmp_path):
    served, _ = read_served(push(tmp_path, ("8", "9")), FEATURES, "10")
    assert served is not None


def test_where_nothing_serves_nothing_is_said(tmp_path):
    for serving in ("", str(tmp_path)):
        served, note = read_served(serving, FEATURES, "2026-01-08")
        assert served is None
        assert "nothing serves yet" in note


def test_a_model_that_is_not_ours_says_nothing(tmp_path):
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "saved_model.pb").touch()
    registry.push(tmp_path / "trained", tmp_path / "serving", "shop")
    served, note = read_served(str(tmp_path / "serving"), FEATURES, "2026-01-08")
    assert served is None
    assert "does not say what it was trained on" in note
